"""A camera of the kernel's test driver vivid, which sees a moving pattern.

Unlike one of v4l2loopback it belongs to one program at a time, and can be pulled out under it, as on USB.

Source: Linux Documentation/admin-guide/media/vivid.rst.
"""

import subprocess
from pathlib import Path

DRIVER = Path("/sys/bus/platform/drivers/vivid")
DEVICE = "vivid.0"
WEBCAM = ["n_devs=1", "node_types=0x1", "num_inputs=1", "input_types=0"]
NODE = "/dev/v4l/by-path/platform-vivid.0-video-index0"
"""Its number may be another after each plugging in, its path is not."""


def plug() -> str:
    """Plug it in; return its device node."""
    if DRIVER.exists():
        (DRIVER / "bind").write_text(DEVICE)
    else:
        subprocess.run(["modprobe", "vivid", *WEBCAM], check=True)
    subprocess.run(["udevadm", "wait", "--timeout=30", NODE], check=True)
    return NODE


def unplug() -> None:
    """Pull it out; who reads it hears of it at once."""
    (DRIVER / "unbind").write_text(DEVICE)
