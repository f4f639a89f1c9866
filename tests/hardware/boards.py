"""The machines that there are, as QEMU is told of them."""

from dataclasses import dataclass
from pathlib import Path

QUIET = "quiet loglevel=4 panic=-1 init_on_free=1"
"""Also: empty memory is zero, so that a saved state holds only what is in use."""


@dataclass(frozen=True)
class Board:
    """One kind of machine: its QEMU, the options that make it, and how long it may take to boot.

    `options` name the channels `console`, `agent` and `monitor`, which the machine adds.
    """

    name: str
    qemu: str
    options: tuple[str, ...]
    boot_s: float


def pc(image: Path) -> Board:
    """A PC of two processors with four USB ports, `xhci.0`'s 1 to 4, and nothing in them."""
    told = "console=ttyS0 brama.link=/dev/vport0p1 mitigations=off nokaslr random.trust_cpu=on"
    options = (
        *("-machine", "pc,i8042=off", "-cpu", "Nehalem", "-smp", "2", "-m", "1024", "-accel", "tcg,thread=multi"),
        *("-kernel", f"{image}/pc.kernel", "-initrd", f"{image}/pc.initrd", "-append", f"{told} {QUIET}"),
        *("-serial", "chardev:console"),
        *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=agent,nr=1"),
        *("-device", "qemu-xhci,id=xhci"),
        # Last, so that the bus addresses of the others are what tests know them by.
        *("-drive", f"file={image}/pc.camera,format=raw,readonly=on,if=none,id=camera"),
        *("-device", "virtio-blk-pci,drive=camera,serial=camera"),
    )
    return Board("pc", "qemu-system-x86_64", options, boot_s=180)


def pi(image: Path) -> Board:
    """A Raspberry Pi 3: its first serial port is the console, since the kernel keeps it for Bluetooth otherwise."""
    # A tick that goes on when a core is idle: one that was stopped is at times never started again here, and what
    # sleeps on that core sleeps for good.
    told = "console=ttyAMA0,115200 brama.link=/dev/ttyS1 nohz=off highres=off"
    options = (
        *("-machine", "raspi3b", "-accel", "tcg,thread=multi", "-dtb", f"{image}/pi.dtb"),
        *("-kernel", f"{image}/pi.kernel", "-initrd", f"{image}/pi.initrd", "-append", f"{told} {QUIET}"),
        *("-serial", "chardev:console", "-serial", "chardev:agent"),
    )
    return Board("pi", "qemu-system-aarch64", options, boot_s=300)
