"""The image of the Raspberry Pi 3: kernel, device tree and initrd. Its GPIO lines keep their level when released."""

import shutil
import tarfile
from pathlib import Path

from tests.hardware.image.apt import Apt
from tests.hardware.image.archive import Archive
from tests.hardware.image.kernel import fetch_kernel
from tests.hardware.image.pc import add_own, is_needed
from tests.hardware.image.root import SITE, bootstrap_pi, install_wheels, requirements

LOADED = ("configfs", "dwc2", "evdev", "usbhid", "hid_generic", "uinput", "uhid")


def build(work: Path, made: Path, pc_root: Path) -> None:
    """Put `pi.kernel`, `pi.dtb` and `pi.initrd` into `made`; `pc_root` lends its compiled Python files."""
    added, tar = work / "added", work / "root.tar"
    apt = Apt(work / "apt", "arm64")
    apt.update()
    kernel = fetch_kernel(apt)
    install_wheels(requirements(["gpio"]), apt.architecture, added / SITE)
    add_own(added, kernel, LOADED)
    bootstrap_pi(apt, tar)
    shutil.copy(kernel.image, made / "pi.kernel")
    trees = kernel.root / "usr/lib" / f"linux-image-{kernel.version}"
    shutil.copy(trees / "broadcom/bcm2837-rpi-3-b.dtb", made / "pi.dtb")
    own = {str(path.relative_to(added)): path for path in sorted(added.rglob("*")) if path.is_file()}
    with tarfile.open(tar) as members:
        sources = {member.name.removeprefix("./") for member in members} | own.keys()

    def is_compiled(name: str) -> bool:
        """Tell whether it is the compiled form of a Python file that the Pi has too."""
        folder, cached, file = name.rpartition("__pycache__/")
        return bool(cached) and f"{folder}{file.partition('.')[0]}.py" in sources

    with (made / "pi.initrd").open("wb") as out:
        archive = Archive(out)
        archive.add_tar(tar, is_needed)
        archive.add_tar(pc_root, is_compiled)
        for name, path in own.items():
            archive.add_file(name, path, 0o755 if name == "init" else 0o644)
        archive.close()
