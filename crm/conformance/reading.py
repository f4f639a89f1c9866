"""One answer of the feed, read line by line: what it was, what is wrong with it, and the list that it leaves."""

import zlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx

from crm.conformance.client import Client, Opened
from crm.conformance.errors import Broken
from crm.conformance.held import HeldList
from crm.conformance.lines import Aspect, LineRead, read_line

_EXAMPLES = 3


@dataclass(slots=True)
class Complaints:
    """How often something was wrong, and the first few examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(what)

    def __str__(self) -> str:
        more = f"; {self.count} in all" if self.count > len(self.examples) else ""
        return "; ".join(self.examples) + more


@dataclass(slots=True)
class Reading:
    """What an answer of the feed was.

    `first` is the kind of the first line, `last` the last line, `cursors` its cursors in order with their `more`.
    `vouched` counts the cursor lines that tell count and fingerprint and could be held against the list; `packing` is
    what is wrong with the compression, `ended` whether the last line ends in a line feed.
    """

    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    lines: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    first: str = "nothing"
    last: dict[str, Any] = field(default_factory=lambda: {"kind": "nothing"})
    cursors: list[tuple[str, bool]] = field(default_factory=list)
    complaints: dict[Aspect, Complaints] = field(default_factory=dict)
    vouched: Counter[Aspect] = field(default_factory=Counter)
    packing: str | None = None
    ended: bool = True

    @property
    def content_type(self) -> str:
        """The media type, without parameters."""
        found: str = self.headers.get("content-type", "")
        return found.partition(";")[0].strip().lower()

    @property
    def encoding(self) -> str:
        """How the answer says that it is packed; empty: not at all."""
        coding: str = self.headers.get("content-encoding", "").strip().lower()
        return "" if coding == "identity" else coding

    @property
    def more(self) -> bool:
        """Whether the last cursor says that lines follow."""
        return bool(self.cursors) and self.cursors[-1][1]

    def said(self) -> str:
        """Tell the kinds of lines that came."""
        return ", ".join(f"{count} {kind}" for kind, count in self.kinds.items()) or "nothing"

    def complain(self, aspect: Aspect, what: str) -> None:
        """Note what is wrong with the line read last."""
        self.complaints.setdefault(aspect, Complaints()).add(f"line {self.lines}: {what}")

    def take(self, read: LineRead, held: HeldList, *, vouches: bool) -> None:
        """Take note of a line, and apply it; `vouches`: its cursor lines tell of this very list."""
        self.lines += 1
        kind = read.kind or "no kind"
        self.kinds[kind] += 1
        self.first = kind if self.lines == 1 else self.first
        for aspect, what in read.complaints:
            self.complain(aspect, what)
        self.last = read.line or {"kind": kind}
        if read.line is None:
            held.holes += read.is_lost
        elif kind == "cursor":
            self.cursors.append((read.line["cursor"], read.line.get("more", False)))
            if vouches and not held.holes:
                self._compare(read.line, held)
        else:
            held.apply(read.line)

    def _compare(self, line: dict[str, Any], held: HeldList) -> None:
        truths = ((Aspect.COUNT, "tickets", held.total.count), (Aspect.FINGERPRINT, "fingerprint", held.total.hex()))
        for aspect, name, truth in truths:
            if (said := line.get(name)) is None:
                continue
            self.vouched[aspect] += 1
            if said != truth:
                self.complain(aspect, f"{name} {said}; the lines so far come to {truth}")


@dataclass(slots=True)
class _Cutter:
    """Cuts what comes into lines, unpacked as its label says."""

    reading: Reading
    unpacker: Any = None
    held: bytearray = field(default_factory=bytearray)
    packed_bytes: int = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self.held += self._unpacked(chunk)
        *whole, rest = self.held.split(b"\n")
        self.held = bytearray(rest)
        yield from (bytes(line) for line in whole)

    def _unpacked(self, chunk: bytes) -> bytes:
        if self.unpacker is None or self.reading.packing:
            return chunk if self.unpacker is None else b""
        try:
            unpacked: bytes = self.unpacker.decompress(chunk)
        except zlib.error as exc:
            self.reading.packing = f"labelled gzip, and does not unpack ({exc})"
            return b""
        if self.unpacker.unused_data:
            self.reading.packing = "more follows the end of the gzip stream, and gates do not read it"
        return unpacked

    def end(self) -> bytes:
        """Say that no more comes; return what followed the last line feed."""
        if self.unpacker is not None and not self.unpacker.eof and not self.reading.packing:
            self.reading.packing = "the gzip stream has no end"
        self.reading.ended = not self.held
        return bytes(self.held)


async def read_feed(
    client: Client,
    path: str,
    token: str,
    params: dict[str, str],
    held: HeldList,
    *,
    packed: bool = False,
    wait_s: float = 0,
    vouches: bool = True,
    until: Callable[[Reading], bool] | None = None,
) -> Reading:
    """Read an answer of `/changes` or `/tickets` to its end, and apply its lines to `held`.

    `packed` asks for gzip, else for none. `until` cuts the connection in the middle, once it is true of what came.

    Raises:
        NoAnswer: the CRM broke off, or answered nothing.
        Broken: packed in a way that was not offered.
    """
    async with client.stream(path, token, params, packed=packed, wait_s=wait_s) as opened:
        reading = Reading(opened.status, opened.headers)
        if opened.status != httpx.codes.OK:
            return reading
        async with aclosing(_raw_lines(opened, reading)) as lines:
            async for raw in lines:
                reading.take(read_line(raw), held, vouches=vouches)
                if until is not None and until(reading):
                    break
    return reading


async def _raw_lines(opened: Opened, reading: Reading) -> AsyncGenerator[bytes]:
    if reading.encoding not in {"", "gzip", "x-gzip"}:
        raise Broken(f"content-encoding {reading.encoding}", "pack as Accept-Encoding offers: gzip, or not at all")
    cutter = _Cutter(reading, zlib.decompressobj(wbits=31) if reading.encoding else None)
    async for chunk in opened.chunks:
        for line in cutter.feed(chunk):
            yield line
    if rest := cutter.end():
        yield rest
