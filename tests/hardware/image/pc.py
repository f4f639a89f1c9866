"""The image of the PC: kernel and initrd, on which gates run with USB, input, HID and GPIO devices."""

import shutil
import tarfile
from pathlib import Path

from tests.hardware.image.apt import Apt, tool
from tests.hardware.image.archive import Archive
from tests.hardware.image.kernel import Kernel, build_gpio_sim, build_loopback, fetch_kernel, unpacked_headers
from tests.hardware.image.root import CAMERA, SITE, bootstrap_pc, install_wheels, optional, requirements

HERE = Path(__file__).parent
LOADED = (
    *("virtio_pci", "virtio_console", "virtio_blk", "ext4", "configfs"),
    *("xhci_pci", "evdev", "usbhid", "hid_generic", "cdc_acm", "uinput", "uhid", "gpio-sim"),
    *("dummy_hcd num=2", "libcomposite", "usb_f_hid", "usb_f_acm"),
)
"""Modules that are loaded when the machine starts, with their options; dummy_hcd makes two USB ports."""
LATER = ("v4l2loopback", "vivid")
"""Modules of cameras, which tests load: to take one out again is to pull the camera's plug."""
BLOCK, SPARE = 4096, 1.1
"""What a file on a disk is rounded up by, in bytes, and what the file system itself takes beside."""


def build(work: Path, made: Path) -> Path:
    """Put `pc.kernel`, `pc.initrd` and the disk `pc.camera` into `made`; return the file system as a tar file."""
    added, tar = work / "added", work / "root.tar"
    apt = Apt(work / "apt", "amd64")
    apt.update()
    kernel = fetch_kernel(apt)
    headers = unpacked_headers(apt, kernel)
    build_gpio_sim(apt, kernel, headers, work / "gpio-sim")
    build_loopback(apt, kernel, headers, work / "loopback")
    install_wheels(requirements(), apt.architecture, added / SITE)
    install_wheels(optional("camera"), apt.architecture, added / CAMERA)
    (added / SITE / "camera.pth").write_text(f"/{CAMERA}\n")
    add_own(added, kernel, LOADED, LATER)
    bootstrap_pc(apt, added, tar)
    shutil.copy(kernel.image, made / "pc.kernel")
    with (made / "pc.initrd").open("wb") as out:
        archive = Archive(out)
        archive.add_tar(tar, is_needed)
        archive.close()
    make_disk(tar, work / "camera", made / "pc.camera")
    return tar


def make_disk(tar: Path, folder: Path, disk: Path) -> None:
    """Make the disk with what decodes pictures: too much to lie in the memory of every test's machine."""
    size = 0
    with tarfile.open(tar) as members:
        for member in members:
            name = member.name.removeprefix("./")
            content = members.extractfile(member) if name.startswith(f"{CAMERA}/") and "/tests/" not in name else None
            if content:
                file = folder / name.removeprefix(f"{CAMERA}/")
                file.parent.mkdir(parents=True, exist_ok=True)
                size += file.write_bytes(content.read()) + BLOCK
    with disk.open("wb") as empty:
        empty.truncate(int(size * SPARE))
    tool("mke2fs", "-q", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", folder, disk)


def add_own(added: Path, kernel: Kernel, loaded: tuple[str, ...], later: tuple[str, ...] = ()) -> None:
    """Lay the modules, the first process and the agent into the file system at `added`."""
    kernel.install((each.split()[0] for each in (*loaded, *later)), added / "usr")
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
            f"{CAMERA}/",
        )
    )
