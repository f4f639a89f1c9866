"""The machine's file system: Debian with the Python packages that the gate and the central run on."""

import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.hardware.image.apt import Apt, tool

CHECKOUT = Path(__file__).parents[3]
PYTHON = "3.11"
"""Python in the release; the one that builds may be any."""
SITE = Path("usr/local/lib") / f"python{PYTHON}" / "dist-packages"
BASE = ("usr-is-merged", "python3", "udev", "kmod", "iproute2", "passwd", "procps")
CAMERA = Path("opt/camera")
"""Where the disk with what cameras need is mounted; Python looks there too."""
TYPING = ("python3-evdev",)
"""evdev has no wheel; Debian has it built."""
SECOND_OPINION = ("libzbar0",)
EXTRAS = ("crm", "gpio", "modbus")
BINARY = {"amd64": "x86_64", "arm64": "aarch64"}


def requirements(extras: Iterable[str] = EXTRAS) -> list[str]:
    """Return what the gate needs at run time, from pyproject.toml."""
    return [*project()["dependencies"], *(need for extra in extras for need in optional(extra))]


def optional(extra: str) -> list[str]:
    """Return what an extra of pyproject.toml adds."""
    needs: list[str] = project()["optional-dependencies"][extra]
    return needs


def project() -> dict[str, Any]:
    """Read what pyproject.toml says of the project."""
    found: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return found


def install_wheels(needs: Sequence[str], architecture: str, folder: Path) -> None:
    """Put wheels for the machine's Python and architecture into a folder."""
    binary = BINARY[architecture]
    fits = [f"--platform=manylinux{kind}_{binary}" for kind in ("_2_28", "_2_17", "2014")]
    python = ("--implementation=cp", f"--python-version={PYTHON}", f"--abi=cp{PYTHON.replace('.', '')}")
    tool(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
        *("--only-binary=:all:", *python, "--abi=abi3", "--abi=none", *fits, f"--target={folder}", *needs),
    )


def bootstrap_pc(apt: Apt, added: Path, tar: Path) -> None:
    """Make the PC's file system, with what lies in `added`, as a tar file.

    Python's files are compiled in it, by its own Python; unchecked, so that the compiled ones also serve elsewhere.
    """
    folders = f"/usr/lib/python{PYTHON} /usr/lib/python3 /{SITE} /{CAMERA}"
    compiled = f'chroot "$1" python3 -m compileall -q --invalidation-mode unchecked-hash {folders}'
    # The user of the unit, in the groups that the unit names.
    user = 'chroot "$1" useradd --system --user-group --groups dialout,input,video brama'
    hooks = [f"--customize-hook={hook}" for hook in (f"sync-in {added} /", f"{compiled} || true", user)]
    apt.bootstrap(tar, "minbase", [*BASE, *TYPING, *SECOND_OPINION], *hooks)


def bootstrap_pi(apt: Apt, tar: Path) -> None:
    """Make the Pi's file system as a tar file; nothing of it runs here, so its packages are unpacked and no more."""
    essential = (
        "base-files",
        "coreutils",
        "dash",
        "findutils",
        "grep",
        "gzip",
        "libc-bin",
        "mount",
        "sed",
        "util-linux",
    )
    apt.bootstrap(tar, "extract", [*BASE, *TYPING, *essential])
