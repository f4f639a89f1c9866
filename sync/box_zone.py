"""In which time zone this box itself lives.

Source: tzset(3) for `TZ`, localtime(5) for the link; `/etc/timezone` is Debian's.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo


def box_zone() -> str:
    """Return the IANA name of this box's own zone; UTC where it has none."""
    names = (os.environ.get("TZ", "").removeprefix(":"), *_links())
    for name in filter(None, names):
        try:
            return ZoneInfo(name).key
        except (KeyError, ValueError, OSError):  # what zoneinfo raises for a name unknown, malformed, or a folder
            continue
    return "UTC"


def _links() -> Iterator[str]:
    with suppress(OSError):
        yield str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    with suppress(OSError):
        yield Path("/etc/timezone").read_text("utf-8", "replace").strip()
