"""Debian's kernel with the modules that the tests need, and two that Debian leaves out, built for it."""

import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.hardware.image.apt import Apt, CannotBuild, tool

SIM_SOURCES = {
    "drivers/gpio/gpio-sim.c": "gpio-sim-core.c",
    "drivers/gpio/gpiolib.h": "gpiolib.h",
    "kernel/irq/irq_sim.c": "irq_sim.c",
}
SIM_MAKEFILE = "obj-m := gpio-sim.o\ngpio-sim-y := gpio-sim-core.o irq_sim.o\n"


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel; `version` is what uname(1) calls its release."""

    root: Path
    version: str

    @property
    def image(self) -> Path:
        return self.root / "boot" / f"vmlinuz-{self.version}"

    @property
    def modules(self) -> Path:
        return self.root / "lib" / "modules" / self.version

    def install(self, names: Iterable[str], root: Path) -> None:
        """Copy modules, with those that they need, into the file system at `root`."""
        tool("depmod", "-b", self.root, self.version)
        needed: set[Path] = set()
        for name in names:
            listed = tool("modprobe", "-d", self.root, "-S", self.version, "--show-depends", name)
            needed.update(Path(path) for path in re.findall(r"(?m)^insmod (\S+)", listed))
        for source in [*needed, *self.modules.glob("modules.[bo]*")]:
            target = root / source.relative_to(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        tool("depmod", "-b", root, self.version)


def fetch_kernel(apt: Apt) -> Kernel:
    """Download and unpack the release's kernel."""
    package = apt.depends(f"linux-image-{apt.architecture}")
    return Kernel(apt.unpacked(package), package.removeprefix("linux-image-"))


def build_gpio_sim(apt: Apt, kernel: Kernel, headers: Path, folder: Path) -> None:
    """Build gpio-sim from the kernel's own source and put it beside the kernel's modules.

    Debian's kernel is built without it, and without the simulated interrupts that it is written upon
    (CONFIG_IRQ_SIM): both files go into one module. `headers` as `unpacked_headers` returns them.
    """
    series = ".".join(kernel.version.split(".")[:2])
    folder.mkdir(parents=True)
    take_sources(apt.downloaded(f"linux-source-{series}")[0], folder)
    simulated = folder / "irq_sim.c"
    # The descriptor behind a number is not exported to modules; handling the number comes to the same.
    simulated.write_text(
        simulated.read_text().replace("handle_simple_irq(irq_to_desc(irqnum))", "generic_handle_irq(irqnum)")
    )
    (folder / "Makefile").write_text(SIM_MAKEFILE)
    build_module(kernel, headers, folder)


def build_loopback(apt: Apt, kernel: Kernel, headers: Path, folder: Path) -> None:
    """Build v4l2loopback, a camera whose pictures a program writes, and put it beside the kernel's modules."""
    (source,) = apt.unpacked("v4l2loopback-dkms").glob("usr/src/v4l2loopback-*")
    shutil.copytree(source, folder)
    build_module(kernel, headers, folder)


def build_module(kernel: Kernel, headers: Path, folder: Path) -> None:
    """Build what the makefile in `folder` names, and put it beside the kernel's modules."""
    # Not the very compiler that Debian built the kernel with, which another release need not have.
    tool("make", "-C", headers, f"M={folder}", "CC=gcc", "modules")
    extra = kernel.modules / "extra"
    extra.mkdir(exist_ok=True)
    for module in folder.glob("*.ko"):
        shutil.copy(module, extra)


def unpacked_headers(apt: Apt, kernel: Kernel) -> Path:
    """Unpack what modules are built with, and return the folder to build in."""
    series = ".".join(kernel.version.split(".")[:2])
    own = f"linux-headers-{kernel.version}"
    common = f"linux-headers-{kernel.version.removesuffix(f'-{apt.architecture}')}-common"
    root = apt.unpacked(own, common, f"linux-kbuild-{series}")
    makefile = root / "usr/src" / own / "Makefile"
    # It names its other half by where that would be if it were installed.
    makefile.write_text(makefile.read_text().replace("/usr/src/", f"{root}/usr/src/"))
    return makefile.parent


def take_sources(package: Path, folder: Path) -> None:
    """Take the few files needed out of the package of the kernel's whole source."""
    wanted = dict(SIM_SOURCES)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as unpacking:
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as outer:
            packed = next(member for member in outer if member.name.endswith(".tar.xz"))
            with tarfile.open(fileobj=outer.extractfile(packed), mode="r|xz") as inner:
                for member in inner:
                    name = member.name.partition("/")[2]
                    if wanted and (content := name in wanted and inner.extractfile(member)):
                        (folder / wanted.pop(name)).write_bytes(content.read())
                    if not wanted:
                        break
        unpacking.kill()
    if wanted:
        raise CannotBuild(f"{package.name} has no {', '.join(wanted)}")
