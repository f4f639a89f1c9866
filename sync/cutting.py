"""Whole lines out of a stream of bytes, bounded and unpacked; loads no models, for the process that builds a list."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Literal

from sync.errors import BadFeed

MAX_LINE_BYTES = 4 * 1024 * 1024
"""The longest feed line that is read; 1,000 rows of a name and a seat come to about 200 kB."""
MOST_BLANK = 1000
"""Blank lines in a row: a CRM may keep a held answer alive by them, but twenty kilobytes unpack to twenty million."""
MOST_EMPTY = 1000
"""Gzip members in a row that hold nothing: twenty bytes each, and no work that anybody needs."""
_UNPACKED_AT_ONCE = 256 * 1024
"""A chunk that unpacks to very much is taken in parts, so that it cannot fill the memory."""
_LOOKED_AT_ONCE = 16 * 1024
"""At the end of each member zlib copies what is left of its input: of a whole body of small ones, that never ends."""

Encoding = Literal["identity", "gzip"]
"""How a feed is packed (RFC 9110, section 8.4)."""


class Unpacker:
    """Undoes gzip (RFC 1952), of which a stream may have several members. Pure."""

    def __init__(self, most: int) -> None:
        """`most` is how many bytes come out at once."""
        self._most = most
        self._member = zlib.decompressobj(wbits=31)
        self._empty = 1
        """Members in a row of which nothing has come out, the one under way among them."""

    def unpack(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk holds, in parts of which some may be empty.

        Raises:
            zlib.error: this is no gzip, or it is broken.
            BadFeed: too many members in a row hold nothing.
        """
        for start in range(0, len(chunk), _LOOKED_AT_ONCE):
            yield from self._unpack(chunk[start : start + _LOOKED_AT_ONCE])

    def _unpack(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
                self._empty += 1
            part = self._member.decompress(chunk, self._most)
            if part:
                self._empty = 0
            elif self._member.eof and self._empty > MOST_EMPTY:
                raise BadFeed(f"more than {MOST_EMPTY} gzip members in a row hold nothing; pack it all into one")
            yield part
            chunk = self._member.unconsumed_tail or self._member.unused_data

    @property
    def whole(self) -> bool:
        """A member has just ended."""
        return self._member.eof


class LineCutter:
    """Cuts a feed into lines; blank ones are skipped. Pure."""

    def __init__(self, encoding: Encoding = "identity") -> None:
        self._unpacker = Unpacker(_UNPACKED_AT_ONCE) if encoding == "gzip" else None
        self._held = bytearray()
        self._blank = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that a chunk completes, without their ends.

        Raises:
            BadFeed: a line is too long, too many are blank, or the packing is broken.
        """
        for part in self._unpacked(chunk):
            start = 0
            while (end := part.find(b"\n", start)) >= 0:
                self._held += part[start:end]
                start = end + 1
                if self._held.strip():
                    self._blank = 0
                    yield bytes(self._held)
                else:
                    self._blank += 1
                    if self._blank > MOST_BLANK:
                        raise BadFeed(f"more than {MOST_BLANK} blank lines in a row; each line is one JSON object")
                self._held.clear()
            self._held += part[start:]
            if len(self._held) > MAX_LINE_BYTES:
                raise BadFeed(f"a feed line is longer than {MAX_LINE_BYTES} bytes; send at most 1,000 rows a line")

    def end(self) -> None:
        """Say that no more comes.

        Raises:
            BadFeed: the feed ends inside a line.
        """
        if self._held.strip() or (self._unpacker is not None and not self._unpacker.whole):
            raise BadFeed("the feed was cut in the middle of a line; going on from the last cursor")

    def _unpacked(self, chunk: bytes) -> Iterator[bytes]:
        if self._unpacker is None:
            yield chunk
            return
        try:
            yield from self._unpacker.unpack(chunk)
        except zlib.error as exc:
            raise BadFeed(f"the feed's packing is broken ({exc}); going on from the last cursor") from exc


async def whole_lines(chunks: AsyncIterator[bytes], encoding: Encoding = "identity") -> AsyncIterator[bytes]:
    """Cut a feed into lines; see `LineCutter`.

    Raises:
        BadFeed: as `LineCutter`, or the feed ends inside a line.
    """
    cutter = LineCutter(encoding)
    async for chunk in chunks:
        for line in cutter.feed(chunk):
            await asyncio.sleep(0)  # a chunk may hold a million lines, and the loop is the lanes'
            yield line
    cutter.end()
