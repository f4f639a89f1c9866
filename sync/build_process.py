"""The process in which a new list is built from everything that the CRM sends.

A million rows are read, checked and written here, so that the gate's own process, and with it every lane, is free.
`python -m sync.build_process LINK PATH ENCODING`: the descriptor of a socket to the gate (`sync.builder` speaks at its
other end), the list's file, and how the feed is packed. It loads no models: what memory it takes, the box has less.

It asks for the feed chunk by chunk. Lines of tickets it applies by itself; any other it hands to the gate, and does
what the gate then asks, until told to go on.
"""

import json
import re
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edge.store.database import connect, remove
from edge.store.list_writer import ListWriter
from sync.cutting import Encoding, LineCutter
from sync.errors import BadFeed
from sync.following import follow_the_gate
from sync.instants import parse_instant

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Text = Annotated[str, msgspec.Meta(max_length=1000)] | None
InstantText = Annotated[str, msgspec.Meta(max_length=40)] | None
_State = Literal["valid", "cancelled", "blocked", "revoked", "unpaid"]
_Row = tuple[str, Id, Id, _State, InstantText, InstantText, Text, Text, Text]


class TicketsLine(msgspec.Struct):
    """As `sync.wire.TicketsLine`, read at a fraction of the cost."""

    event: Id
    rows: Annotated[list[_Row], msgspec.Meta(max_length=1000)]


_TICKETS = re.compile(rb'\s*\{\s*"kind"\s*:\s*"tickets"')
_decoder = msgspec.json.Decoder(TicketsLine)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KNOWN = {"kind", "event", "rows"}
_SMALL_BYTES = 200
_checked_instant = lru_cache(maxsize=4096)(parse_instant)


class Link:
    """The socket to the gate: packets of a JSON header, its line end, and as many bytes as the header says."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._in = self._socket.makefile("rb")

    def close(self) -> None:
        """Close the socket."""
        self._in.close()
        self._socket.close()

    def say(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Send a packet."""
        self._socket.sendall(json.dumps({**header, "bytes": len(payload)}).encode() + b"\n" + payload)

    def hear(self) -> tuple[dict[str, Any], bytes]:
        """Wait for a packet.

        Raises:
            EOFError: the gate is gone.
        """
        head = self._in.readline()
        if not head:
            raise EOFError
        header: dict[str, Any] = json.loads(head)
        return header, self._in.read(header["bytes"])


class Build:
    """Builds one list."""

    def __init__(self, link: Link, path: Path) -> None:
        self._link = link
        self._path = path
        self._writer = self._opened()
        self._number = 0
        self._unknown = 0

    def run(self, encoding: Encoding) -> None:
        """Apply the feed to its end.

        Raises:
            BadFeed: a line breaks the contract, or the feed is cut.
        """
        self._link.say({"is": "ready", "meta": self._writer.meta()})
        for line in self._lines(encoding):
            self._number += 1
            if not (_TICKETS.match(line) and self._put_tickets(line)):
                self._link.say({"is": "line", "number": self._number, "unknown": self._unknown}, line)
                self._unknown = 0
                self._obey()
        self._link.say({"is": "end", "number": self._number, "unknown": self._unknown})
        self._obey()

    def close(self) -> None:
        """Close the file; what has no cursor is forgotten."""
        self._writer.close()

    def _lines(self, encoding: Encoding) -> Iterator[bytes]:
        cutter = LineCutter(encoding)
        while True:
            self._link.say({"is": "want"})
            header, chunk = self._link.hear()
            if header["do"] == "end":
                cutter.end()
                return
            yield from cutter.feed(chunk)

    def _put_tickets(self, raw: bytes) -> bool:
        """Apply a line of tickets; False: it is not quite as this release writes one, so the models must read it."""
        try:
            line, fields = _decoder.decode(raw), _fields.decode(raw)
            if not _is_plain(raw, fields):
                return False
            for row in line.rows:
                if row[4] is not None:
                    _checked_instant(row[4])
                if row[5] is not None:
                    _checked_instant(row[5])
            self._writer.put_tickets(line.event, line.rows)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return False
        self._unknown += len(fields) - len(_KNOWN)
        return True

    def _obey(self) -> None:
        """Do what the gate asks for, until it says to go on."""
        while True:
            header, payload = self._link.hear()
            match header["do"]:
                case "go":
                    return
                case "start_over":
                    self._writer.close()
                    remove(self._path)
                    self._writer = self._opened()
                    self._link.say({"is": "done", "value": None})
                case _:
                    method, args = json.loads(payload)
                    self._link.say({"is": "done", "value": getattr(self._writer, method)(*args)})

    def _opened(self) -> ListWriter:
        return ListWriter(connect(self._path, "building"), self._path.name)


def _is_plain(raw: bytes, fields: dict[str, msgspec.Raw]) -> bool:
    """Tell whether a line that was decoded holds nothing that this decoder passes over and the models do not.

    That is a NUL, a second kind, or a value that is not known and was skipped unread; small ones are read here.

    Raises:
        msgspec.MsgspecError: such a value is no JSON.
    """
    if rb"\u0000" in raw or bytes(fields["kind"]) != b'"tickets"':
        return False
    for unknown in fields.keys() - _KNOWN:
        if len(bytes(fields[unknown])) > _SMALL_BYTES:
            return False
        msgspec.json.decode(fields[unknown])
    return True


def main(link: Link, path: Path, encoding: Encoding) -> None:
    """Build until the feed ends, or the gate does; whatever goes wrong is told to the gate."""
    follow_the_gate()
    try:
        build = Build(link, path)
        try:
            build.run(encoding)
        finally:
            build.close()
        link.say({"is": "closed"})
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except BadFeed as exc:
        link.say({"is": "bad", "why": str(exc)})
    except (sqlite3.Error, OSError) as exc:
        link.say({"is": "broken", "why": str(exc), "code": getattr(exc, "sqlite_errorcode", 0)})


if __name__ == "__main__":
    with closing(Link(int(sys.argv[1]))) as to_the_gate:
        main(to_the_gate, Path(sys.argv[2]), "gzip" if sys.argv[3] == "gzip" else "identity")
