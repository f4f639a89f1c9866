"""The Gate API, version 1, as the central answers it (design.md, section 7)."""

import asyncio
import base64
import logging
import re
import zlib
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from aiohttp import web
from pydantic import ValidationError

from crm import enrolment, ranges, scans
from crm.answers import STARTED, errors_as_json, number, read_object
from crm.batches import Batch, batch_of, fit
from crm.cursor import parse_cursor
from crm.database import Database
from crm.devices import device_of_token
from crm.enrolment import Heartbeat
from crm.errors import BadInput, Denied, bad_input
from crm.feed import SIZES, Sizes
from crm.gathering import Gathered
from crm.parcels import Parcel
from crm.reception import Reception
from sync.wire import MAX_SCANS, NDJSON, EnrolAnswer, EnrolRequest, HeartbeatAnswer, ScansAnswer, ScansRequest

MAX_WAIT_S = 60
MAX_ENROL_BYTES = 16 * 1024
MAX_HEARTBEAT_BYTES = 64 * 1024
# 500 scans, each at most a code of 4,096 characters and a note of 1,000, escaped, and some 10 short fields.
MAX_SCANS_BYTES = 16 * 1024 * 1024
LONG_BYTES = 16 * 1024
"""From this size on an answer is packed off the loop."""
_log = logging.getLogger(__name__)
_PREFIX = re.compile(r"[0-9a-fA-F]{0,32}")


RECEPTION = web.AppKey("reception", Reception)
"""Where an application keeps what answers its waiting gates."""


def make_app(db: Database, sizes: Sizes = SIZES) -> web.Application:
    """Build the application with the Gate API under `/gate/v1`; `sizes` is how much the feed reads at a time."""
    api = GateApi(db, sizes)
    app = web.Application(middlewares=[errors_as_json])
    app.add_routes(
        [
            web.post("/gate/v1/enrol", api.enrol),
            web.get("/gate/v1/changes", api.changes, allow_head=False),
            web.post("/gate/v1/scans", api.scans),
            web.post("/gate/v1/heartbeat", api.heartbeat),
            web.get("/gate/v1/fingerprints", api.fingerprints, allow_head=False),
            web.get("/gate/v1/tickets", api.tickets, allow_head=False),
        ]
    )

    app[RECEPTION] = api.reception
    app.on_shutdown.append(api.let_go)
    return app


class GateApi:
    """The handlers; each names what it answers."""

    def __init__(self, db: Database, sizes: Sizes = SIZES) -> None:
        self._db = db
        self.reception = Reception(db, sizes)
        self._batches = Gathered[Batch, ScansAnswer](partial(scans.receive, db), fit)
        self._beats = Gathered[Heartbeat, datetime](partial(enrolment.keep_heartbeats, db))

    async def let_go(self, _app: web.Application) -> None:
        """Give gates that wait for a change their cursor now, so that going down does not wait for them."""
        self.reception.close()

    async def enrol(self, request: web.Request) -> web.Response:
        """`POST /enrol`: a code for a token."""
        body = await read_object(request, MAX_ENROL_BYTES)
        try:
            asked = EnrolRequest.model_validate(body)
        except ValidationError as exc:
            raise bad_input(exc) from exc
        made = await enrolment.enrol(self._db, asked.code, asked.device)
        organiser = self._db.organiser
        key = base64.b64encode(organiser.lookup_key).decode()
        answer = EnrolAnswer(
            device_id=made.id, name=made.name, organiser=organiser.name, token=made.token, lookup_key=key
        )
        return web.json_response(text=answer.model_dump_json())

    async def changes(self, request: web.Request) -> web.StreamResponse:
        """`GET /changes`: everything, or what changed since a cursor, held up to `wait` seconds."""
        token = _token(request)
        since = request.query.get("since")
        place = None if since is None else parse_cursor(since)
        wait_s = number(request.query, "wait", 0, MAX_WAIT_S)
        packed, gone = _is_packed(request), partial(_is_gone, request)
        found = await self.reception.answer(token, place, wait_s, packed=packed, gone=gone)
        if isinstance(found, Parcel):
            return web.Response(body=found.body, headers=_headers(packed=packed))
        stream = await _Stream.start(request)
        await stream.write(found.lines)
        while found.more and not self.reception.closing:
            try:
                found = await self.reception.piece(token, found.place, gone)
            except Denied as exc:
                # Revoked or pruned meanwhile: the gate goes on from the last cursor, and is told then.
                _log.info("feed of %s cut: %s", request.remote, exc)
                break
            await stream.write(found.lines)
        return await stream.end()

    async def scans(self, request: web.Request) -> web.Response:
        """`POST /scans`: what the device recorded."""
        device = await self.reception.device(_token(request))
        body = await read_object(request, MAX_SCANS_BYTES)
        try:
            asked = ScansRequest.model_validate(body)
        except ValidationError as exc:
            fault = bad_input(exc)
            if fault.field == "scans" and isinstance(body.get("scans"), list):
                fault = BadInput("scans", f"at most {MAX_SCANS} scans at a time, each an object")
            raise fault from exc
        if asked.device_id != device.id:
            raise Denied(403, "wrong_device", f"device_id: this token is of {device.id}; send its own scans only")
        answer = await self._batches.do(batch_of(device, asked.scans))
        return web.json_response(text=answer.model_dump_json())

    async def heartbeat(self, request: web.Request) -> web.Response:
        """`POST /heartbeat`: the device's health, any JSON object, for the CRM's time."""
        device = await self.reception.device(_token(request))
        health = await read_object(request, MAX_HEARTBEAT_BYTES)
        now = await self._beats.do(Heartbeat(device.id, health))
        return web.json_response(text=HeartbeatAnswer(time=now).model_dump_json())

    async def fingerprints(self, request: web.Request) -> web.Response:
        """`GET /fingerprints`: count and fingerprint of a range of lookups and of its sixteen parts."""
        prefix = _prefix(request)
        async with self._db.read() as tx:
            await device_of_token(tx, _token(request))
            answer = await ranges.fingerprints(tx, prefix)
        return web.json_response(text=answer.model_dump_json())

    async def tickets(self, request: web.Request) -> web.StreamResponse:
        """`GET /tickets`: the tickets of a range of lookups, and the present cursor."""
        prefix = _prefix(request)
        async with self._db.read() as tx:
            await device_of_token(tx, _token(request))
            stream = await _Stream.start(request)
            async for line in ranges.tickets_of_range(tx, prefix):
                await stream.write([line])
        return await stream.end()


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Denied(401, "token_unknown", "Authorization: send 'Bearer' and the token got at enrolment")
    return token.strip()


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _is_packed(request: web.Request) -> bool:
    return "gzip" in request.headers.get("Accept-Encoding", "").lower()


def _headers(*, packed: bool) -> dict[str, str]:
    headers = {"Content-Type": f"{NDJSON}; charset=utf-8", "Cache-Control": "no-store"}
    return headers | ({"Content-Encoding": "gzip"} if packed else {})


def _prefix(request: web.Request) -> str:
    prefix = request.query.get("prefix", "")
    if not _PREFIX.fullmatch(prefix):
        raise BadInput("prefix", "up to 32 hex digits, the first of the lookup's bytes")
    return prefix.lower()


class _Stream:
    """A streamed answer of feed lines, packed as the gate asked; each write can be read at once."""

    def __init__(self, request: web.Request) -> None:
        packed = _is_packed(request)
        # The fastest level: lookups are random, so more work packs them no smaller.
        self._packer = zlib.compressobj(1, wbits=31) if packed else None
        self._response = web.StreamResponse(headers=_headers(packed=packed))

    @classmethod
    async def start(cls, request: web.Request) -> "_Stream":
        """Send the headers."""
        made = cls(request)
        await made._response.prepare(request)
        request[STARTED] = True
        return made

    async def write(self, lines: Sequence[str]) -> None:
        """Send lines."""
        data = "".join([f"{line}\n" for line in lines]).encode()
        if self._packer is not None:
            data = (
                await asyncio.to_thread(_packed, self._packer, data)
                if len(data) > LONG_BYTES
                else _packed(self._packer, data)
            )
        await self._response.write(data)

    async def end(self) -> web.StreamResponse:
        """Send the end."""
        if self._packer is not None:
            await self._response.write(self._packer.flush())
        await self._response.write_eof()
        return self._response


def _packed(packer: "zlib._Compress", data: bytes) -> bytes:
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
