"""The source of this checkout, as it is brought into the machine."""

import gzip
import io
import tarfile
from pathlib import Path

from tests.hardware.machine import Machine

ROOT = Path(__file__).parents[2]
PARTS = ("edge", "sync", "drivers", "crm", "config", "tests/hardware/guest")
"""What the machine runs; it has nothing else of the tests."""
AT = "/opt/brama"


def packed(*parts: str) -> bytes:
    """Pack parts of the checkout; the same files give the same bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for part in parts:
            for path in sorted((ROOT / part).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    tar.add(path, str(path.relative_to(ROOT)), filter=plain)
    return gzip.compress(out.getvalue(), mtime=0)


def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Give a file to root, and no date: neither whose it is here nor when it was checked out is of account."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    return member


def bring_in(machine: Machine, source: bytes) -> None:
    """Unpack what was packed where the machine's Python finds it."""
    machine.put("/run/brama.tar.gz", source)
    machine.run(f"python3 -m tarfile -e /run/brama.tar.gz {AT} && rm /run/brama.tar.gz")
