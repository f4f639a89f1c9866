"""Builds what the hardware tests run in: `python -m tests.hardware.build`; nothing when that is there already.

The image lies outside the checkout, in `$BRAMA_HARDWARE_CACHE` or the user's cache folder, under a key made of all
files in tests/hardware/image and of the dependencies: a second checkout finds it, and a change makes another.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hardware.image import pc, pi
from tests.hardware.image.apt import CannotBuild
from tests.hardware.image.root import optional, requirements

KEPT = 2
"""Images that are kept, the present one and the one before. Each is some 700 MB, and its states 2 GB."""


def cache() -> Path:
    """Return the folder that images lie in, outside every checkout."""
    if given := os.environ.get("BRAMA_HARDWARE_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "brama" / "hardware"


def key() -> str:
    """Name the image that this checkout needs."""
    digest = hashlib.sha256("\n".join([*requirements(), *optional("camera")]).encode())
    for path in sorted((Path(__file__).parent / "image").iterdir()):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def image() -> Path:
    """Return the folder of the image that this checkout needs; it may not be built yet."""
    return cache() / f"image-{key()}"


def keep_newest(folder: Path, pattern: str, count: int) -> None:
    """Remove what `pattern` finds but for those used last."""
    found = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in found[count:]:
        shutil.rmtree(old) if old.is_dir() else old.unlink()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder against every other process that builds in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(say: Callable[[str], None]) -> Path:
    """Make the image unless it is there, and return its folder.

    Raises:
        CannotBuild: something is missing; the message names the mend.
    """
    made = image()
    with alone(cache()):
        if made.exists():
            os.utime(made)
            return made
        for stale in cache().glob("build-*"):
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(prefix="build-", dir=cache()) as temporary:
            work = Path(temporary)
            work.chmod(0o755)  # mmdebstrap looks in as another user
            (work / "image").mkdir()
            say("the PC: kernel, gpio-sim, Debian, Python packages")
            root = pc.build(work / "pc", work / "image")
            say("the Pi: kernel, Debian, Python packages")
            pi.build(work / "pi", work / "image", root)
            (work / "image").rename(made)
        keep_newest(cache(), "image-*", KEPT)
    return made


def main() -> int:
    """Build, and say what is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="build anew, with Debian's present packages")
    if parser.parse_args().fresh and image().exists():
        shutil.rmtree(image())
    started = time.monotonic()

    def say(step: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started:4.0f} s  {step}\n")
        sys.stdout.flush()

    try:
        say(str(build(say)))
    except CannotBuild as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
