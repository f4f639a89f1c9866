"""Push mode: feed lines from a CRM on the same network, and what it says by reading the journal."""

import asyncio
import hashlib
import logging
import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime
from typing import Protocol

from aiohttp import hdrs, web

from config.settings import FileCrmSettings
from edge.box import Box
from edge.enrolling import crm_url
from edge.store.database import NewerSchema
from edge.store.records import Scan
from edge.store.writer import CannotRecord
from edge.web.bodies import ChangesQuery, read_query
from edge.web.errors import MOST_MESSAGE, ApiError
from sync.cutting import Unpacker
from sync.errors import BadFeed, LinkDown
from sync.push import Busy, Caller, Differs, Elsewhere, Outcome, WholeListWanted
from sync.push_body import PushRefused, TooSlow

log = logging.getLogger(__name__)

ENCODINGS = frozenset({"", "identity", "gzip"})
"""As of an answer of the Gate API."""
UNPACKED_AT_ONCE = 256 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_DAMAGED = "body: cut or damaged on its way here; send again what follows the cursor"
RETRY_S = 5
_FIELD = re.compile(r"(?:feed line \d+: )?([A-Za-z_][A-Za-z0-9_.]{0,60}): ")


class ChangesSink(Protocol):
    """Takes what a CRM pushes, and what it says by reading scans."""

    async def apply(self, chunks: AsyncIterator[bytes], by: Caller, since: str | None = None) -> Outcome:
        """Apply feed lines as they come in, in pieces of any size; return what came of it.

        Raises:
            Busy: another push is being applied.
            LinkDown, OSError, sqlite3.Error: this box is short of something.
        """

    async def accept(self) -> None:
        """Let a held list take its place."""

    async def scans_read(self, by: Caller, after_seq: int, last_seq: int, now: datetime) -> bool:
        """Take note that scans after a seq are asked for and about to be given up to another; True: the backlog fell.

        Raises:
            CannotRecord: it cannot be kept.
        """


def takes_pushes(box: Box) -> bool:
    """Tell whether this gate lives on what is pushed to it, having no CRM to pull from and no files."""
    named = box.settings.crm
    return not isinstance(named, FileCrmSettings) and crm_url(box.settings, box.link.credentials) is None


class Pushes:
    """The calls of a CRM that pushes; `sink` None: there is none. `allows` tells whether a token was made here."""

    def __init__(self, box: Box, sink: ChangesSink | None, allows: Callable[[str], bool]) -> None:
        self._box = box
        self._sink = sink
        self._allows = allows

    @property
    def sink(self) -> ChangesSink | None:
        """Return what takes pushes, if this gate takes any."""
        return self._sink if takes_pushes(self._box) else None

    async def changes(self, request: web.Request) -> web.Response:
        """Apply the body and tell where the list now stands, also where some of it is refused."""
        sink = self.sink
        if sink is None:
            raise ApiError(404, "no_push", "this gate takes no pushed changes; it pulls them from its CRM")
        if self._box.store.identity is None:
            raise ApiError(409, "not_enrolled", "this box has no lookup key yet; enrol it: brama enrol URL CODE")
        _check_encoding(request)
        since = read_query(request, ChangesQuery).since
        try:
            async with aclosing(_body_of(request)) as chunks:
                outcome = await sink.apply(chunks, caller_of(request, self._allows), since)
        except Busy as exc:
            raise ApiError(409, "busy", str(exc), headers={hdrs.RETRY_AFTER: str(RETRY_S)}) from exc
        except ConnectionError:
            raise  # the client went away: nobody is left to tell
        except (LinkDown, OSError, NewerSchema) as exc:
            log.warning("changes: what was pushed cannot be kept: %s", exc)
            raise ApiError(503, "not_kept", f"what was pushed cannot be kept now: {exc}; send it again later") from exc
        if outcome.refusal is not None:
            log.warning("changes: a push by %s was refused: %s", request.remote, outcome.refusal)
            return _refused(outcome.refusal, outcome)
        return web.json_response({"lines": outcome.lines, **asdict(outcome.standing)})

    async def read(self, request: web.Request, after: int, rows: Sequence[Scan]) -> None:
        """Let the CRM that pushes acknowledge by reading on; they are given whether that can be kept or not."""
        sink = self.sink
        if sink is None:
            return
        last = rows[-1].seq if rows else 0
        try:
            if await sink.scans_read(caller_of(request, self._allows), after, last, self._box.clock.now()):
                self._box.publish_status()
        except CannotRecord as exc:
            log.warning("scans: what the CRM has cannot be kept: %s", exc)


def caller_of(request: web.Request, allows: Callable[[str], bool]) -> Caller:
    """Say who calls, by the token in the header: a page's cookie is no CRM's, and nor is what was not made here."""
    scheme, _, rest = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    token = rest.strip()
    known = scheme.lower() == "bearer" and allows(token)
    digest = hashlib.sha256(token.encode()).hexdigest() if known else None
    return Caller(digest, request.remote or "this machine")


async def _body_of(request: web.Request) -> AsyncGenerator[bytes, None]:
    """Yield the body, unpacked in bounded parts: by aiohttp, or here where that leaves bodies as they are."""
    unpacker, looked = None, _encoding_of(request) != "gzip"
    try:
        async for chunk in request.content.iter_any():
            if not looked:
                looked, unpacker = True, _unpacker_of(chunk)
            for part in unpacker.unpack(chunk) if unpacker else (chunk,):
                yield part
                await asyncio.sleep(0)  # a chunk may hold very many parts, and the loop is the lanes'
    except (web.RequestPayloadError, zlib.error) as exc:
        raise BadFeed(_DAMAGED) from exc
    if unpacker is not None and not unpacker.whole:
        raise BadFeed(_DAMAGED)


def _unpacker_of(first: bytes) -> Unpacker | None:
    packed = _GZIP_MAGIC.startswith(first[:2])  # as no line begins
    return Unpacker(UNPACKED_AT_ONCE) if packed else None


def _encoding_of(request: web.Request) -> str:
    return request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower()


def _check_encoding(request: web.Request) -> None:
    encoding = _encoding_of(request)
    if encoding not in ENCODINGS:
        raise ApiError(
            415,
            "wrong_encoding",
            f"content-encoding: {encoding[:100]} is not read here; send gzip, or leave the body as it is",
            "content-encoding",
            {hdrs.ACCEPT_ENCODING: "gzip"},  # RFC 9110, section 15.5.16
        )


def _refused(refusal: PushRefused | BadFeed, outcome: Outcome) -> web.Response:
    """Write an error in the one form, and beside it where the list now stands."""
    status, code = _kind_of(refusal)
    error = {"code": code, "message": str(refusal)[:MOST_MESSAGE]}
    if found := _FIELD.match(str(refusal)):
        error["field"] = found[1]
    answer = web.json_response({"error": error, **asdict(outcome.standing)}, status=status)
    if isinstance(refusal, TooSlow):
        answer.force_close()
    return answer


def _kind_of(refusal: PushRefused | BadFeed) -> tuple[int, str]:
    match refusal:
        case TooSlow():
            return 408, "too_slow"
        case Differs():
            return 409, "list_differs"
        case Elsewhere():
            return 409, "wrong_cursor"
        case WholeListWanted():
            return 409, "whole_list_wanted"
        case _:
            return 400, "bad_feed"
