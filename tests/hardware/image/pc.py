"""The image of the PC: kernel and initrd, on which gates run with USB, input, HID and GPIO devices."""

import shutil
from pathlib import Path

from tests.hardware.image.apt import Apt
from tests.hardware.image.archive import Archive
from tests.hardware.image.kernel import Kernel, build_gpio_sim, fetch_kernel
from tests.hardware.image.root import bootstrap_pc, install_wheels, requirements

HERE = Path(__file__).parent
LOADED = (
    *("virtio_pci", "virtio_console", "virtio_blk", "ext4", "configfs"),
    *("xhci_pci", "evdev", "usbhid", "hid_generic", "cdc_acm", "uinput", "uhid", "gpio-sim"),
    *("dummy_hcd num=2", "libcomposite", "usb_f_hid", "usb_f_acm"),
)
"""Modules that are loaded when the machine starts, with their options; dummy_hcd makes two USB ports."""


def build(work: Path, made: Path) -> Path:
    """Put `pc.kernel` and `pc.initrd` into `made`; return the file system as a tar file."""
    added, tar = work / "added", work / "root.tar"
    apt = Apt(work / "apt", "amd64")
    apt.update()
    kernel = fetch_kernel(apt)
    build_gpio_sim(apt, kernel, work / "gpio-sim")
    install_wheels(requirements(), apt.architecture, added)
    add_own(added, kernel, LOADED)
    bootstrap_pc(apt, added, tar)
    shutil.copy(kernel.image, made / "pc.kernel")
    with (made / "pc.initrd").open("wb") as out:
        archive = Archive(out)
        archive.add_tar(tar, is_needed)
        archive.close()
    return tar


def add_own(added: Path, kernel: Kernel, loaded: tuple[str, ...]) -> None:
    """Lay the modules, the first process and the agent into the file system at `added`."""
    kernel.install((each.split()[0] for each in loaded), added / "usr")
    (added / "etc").mkdir(exist_ok=True)
    (added / "etc/brama-modules").write_text("".join(f"{each}\n" for each in loaded))
    (added / "opt").mkdir(exist_ok=True)
    shutil.copy(HERE / "agent.py", added / "opt/agent.py")
    shutil.copy(HERE / "init", added / "init")
    (added / "init").chmod(0o755)


def is_needed(name: str) -> bool:
    """Tell whether a file is of use once the packages are installed: each lies in the machine's memory."""
    return not name.startswith(
        (
            "var/lib/apt/",
            "var/lib/dpkg/",
            "var/cache/",
            "usr/share/perl",
            "usr/lib/x86_64-linux-gnu/perl",
            "usr/lib/x86_64-linux-gnu/gconv/",
        )
    )
