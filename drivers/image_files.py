"""Which image files there are in folders, and which come into them.

Source: inotify(7): IN_CLOSE_WRITE and IN_MOVED_TO tell that a file is complete.
"""

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

from asyncinotify import Inotify, Mask

ENDINGS = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"})
"""By these a file in a folder is known as a picture."""

_COMPLETE = Mask.CLOSE_WRITE | Mask.MOVED_TO
_GONE = Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.UNMOUNT


def is_image(path: Path) -> bool:
    """Tell whether a file's name is that of a picture which is complete: who copies hides what is not."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def images_in(folder: Path, *, deep: bool) -> list[Path]:
    """Return a folder's image files in the order of their names; `deep`: and those of the folders in it.

    Raises:
        OSError: the folder cannot be read.
    """
    found = []
    for place, folders, names in os.walk(folder, onerror=_raised):
        folders.sort()
        if not deep:
            folders.clear()
        found += [path for path in (Path(place, name) for name in sorted(names)) if is_image(path)]
    return found


async def arriving(folders: Iterable[Path]) -> AsyncGenerator[Path | None]:
    """Yield None once the folders are watched, then each image file that is completed in them, for ever.

    Raises:
        OSError: a folder cannot be watched, or is gone.
    """
    with Inotify() as inotify:
        for folder in folders:
            # In a thread: a folder on the network may not answer.
            await asyncio.to_thread(inotify.add_watch, folder, _COMPLETE | _GONE | Mask.ONLYDIR)
        yield None
        while True:
            event = await inotify.get()
            if event.mask & (_GONE | Mask.IGNORED):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if event.mask & Mask.Q_OVERFLOW:
                raise OSError(errno.ENOBUFS, "more files came at once than the system remembers")
            if event.path is not None and is_image(event.path):
                yield event.path


def _raised(exc: OSError) -> None:
    raise exc
