"""Writes the file system that a kernel unpacks into memory when it starts.

Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst: "newc", hexadecimal fields, padded to 4 bytes.
Everything in it belongs to root, whoever built it.
"""

import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

KINDS = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.LNKTYPE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
}


class Archive:
    """One archive being written to `out`; `close` ends it."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._inodes = 0
        self._folders: set[str] = set()

    def add(self, name: str, mode: int, data: bytes = b"", *, at_s: int = 0, device: tuple[int, int] = (0, 0)) -> None:
        """Add one entry, and the folders above it that are missing: the kernel leaves out what has none.

        `name` is relative to the root, `mode` as in stat(2), a link's `data` its target.
        """
        above = name.rpartition("/")[0]
        if above and above not in self._folders:
            self.add(above, stat.S_IFDIR | 0o755)
        if stat.S_ISDIR(mode):
            self._folders.add(name)
        self._inodes += 1
        path = name.encode() + b"\0"
        fields = (self._inodes, mode, 0, 0, 1, at_s, len(data), 0, 0, *device, len(path), 0)
        self._put(b"070701" + b"".join(b"%08X" % field for field in fields) + path)
        self._put(data)

    def add_file(self, name: str, source: Path, mode: int = 0o644) -> None:
        """Add a file of this machine."""
        self.add(name, stat.S_IFREG | mode, source.read_bytes(), at_s=int(source.stat().st_mtime))

    def add_tar(self, tar: Path, wanted: Callable[[str], bool] = lambda _name: True) -> None:
        """Add the members of a tar file whose names, relative to the root, are `wanted`."""
        with tarfile.open(tar) as members:
            for member in members:
                name = member.name.removeprefix("./").strip("/")
                if member.type in KINDS and name not in {"", "."} and wanted(name):
                    self._add_member(name, member, members)

    def _add_member(self, name: str, member: tarfile.TarInfo, members: tarfile.TarFile) -> None:
        content = members.extractfile(member) if member.isfile() or member.islnk() else None
        data = content.read() if content else member.linkname.encode() if member.issym() else b""
        mode = KINDS[member.type] | member.mode
        device = (member.devmajor, member.devminor)
        self.add(name, mode, data, at_s=int(member.mtime), device=device)

    def close(self) -> None:
        """Write the trailer."""
        self.add("TRAILER!!!", 0)

    def _put(self, data: bytes) -> None:
        self._out.write(data + b"\0" * (-len(data) % 4))
