"""The calls of the device's API (design section 8); each handler names what it answers."""

from collections.abc import Callable

from aiohttp import hdrs, web

from edge.box import Box
from edge.core.model import Controller
from edge.gate import Lane, NotATicket
from edge.judging import NotAllowed, NotFound
from edge.people import NotKnown
from edge.store.outbox import drop_parked, parked_scans, retry_parked
from edge.web.bodies import (
    DropRequest,
    HistoryQuery,
    LaneQuery,
    OverrideRequest,
    ScanRequest,
    ScansQuery,
    ShiftRequest,
    WhoRequest,
    read_body,
    read_query,
)
from edge.web.errors import ApiError, bad_request
from edge.web.pushes import ChangesSink, Pushes

__all__ = ["Api", "ChangesSink"]


class Api:
    """Handlers over one box; `allows` tells whether a token was made here."""

    def __init__(self, box: Box, push: ChangesSink | None, allows: Callable[[str], bool]) -> None:
        self._box = box
        self._pushes = Pushes(box, push, allows)

    # --- scans ------------------------------------------------------------------------------------------------------

    async def scan(self, request: web.Request) -> web.Response:
        """Judge a code at a lane; the answer is on disk."""
        asked = await read_body(request, ScanRequest, big="code")
        lane = self._box.lane(asked.lane)
        try:
            answer = await lane.offer(asked.code, asked.direction, asked.scan_id)
        except NotATicket as what:
            return web.json_response(await self._box.desk.take(lane, what, asked.scan_id), status=202)
        return web.json_response(answer.body())

    async def scans(self, request: web.Request) -> web.Response:
        """The journal, oldest first, each row as the CRM gets it."""
        asked = read_query(request, ScansQuery)
        rows = await self._box.store.scans_after(asked.after, asked.limit)
        await self._pushes.read(request, asked.after, rows)
        return web.json_response({"scans": [row.wire() for row in rows]})

    async def picture(self, request: web.Request) -> web.Response:
        """The picture in which a refused code was seen, while it is kept."""
        jpeg = await self._box.store.pictures.read(request.match_info["id"])
        if jpeg is None:
            raise NotFound("id: no picture of that scan is kept; keep_refused_h of the camera says for how long")
        return web.Response(body=jpeg, content_type="image/jpeg", headers={hdrs.CACHE_CONTROL: "no-store"})

    async def override(self, request: web.Request) -> web.Response:
        """Admit after a refusal, by a supervisor's word."""
        asked = await read_body(request, OverrideRequest)
        lane = await self._lane_of(request.match_info["id"], asked.lane)
        supervisor = await self._supervisor(asked, lane)
        answer = await lane.override(request.match_info["id"], supervisor, asked.reason)
        return web.json_response(answer.body())

    async def _lane_of(self, scan_id: str, named: str | None) -> Lane:
        """Return the lane at which a scan was made; one that is named must be that one."""
        scan = await self._box.store.read(lambda tx: tx.find(scan_id))
        if scan is None:
            raise NotFound("id: no such scan in this gate's journal; take the scan_id of a refusal")
        if named not in {None, scan.lane}:
            raise NotAllowed(f"lane: that scan was made at {scan.lane}; name that, or leave lane out")
        return self._box.lane(scan.lane)

    async def _supervisor(self, asked: OverrideRequest, lane: Lane) -> Controller:
        if asked.badge is None and asked.controller is None and asked.pin is None:
            here = [each for each in await self._box.people.on_shift(lane.id) if each.supervisor]
            if not here:
                raise NotKnown(
                    f"badge: no supervisor is signed in at {lane.id}; show a badge, or give controller and pin"
                )
            return here[0]
        who = await self._identify(asked)
        if not who.supervisor:
            raise NotKnown(f"controller: {who.name} is not a supervisor; ask one")
        return who

    # --- people -----------------------------------------------------------------------------------------------------

    async def sign_in(self, request: web.Request) -> web.Response:
        """Open a shift at a lane."""
        asked = await read_body(request, ShiftRequest)
        lane = self._box.lane(asked.lane)
        who = await self._identify(asked)
        await self._box.people.sign_in(lane.id, who)
        shown = {"id": who.id, "name": who.name, "supervisor": who.supervisor}
        return web.json_response({"lane": lane.id, "controller": shown})

    async def sign_out(self, request: web.Request) -> web.Response:
        """Close the shift at a lane, if one is open."""
        lane = self._box.lane(read_query(request, LaneQuery).lane)
        await self._box.people.sign_out(lane.id)
        return web.Response(status=204)

    async def controllers(self, _request: web.Request) -> web.Response:
        """Whom the page may offer for signing in."""
        return web.json_response({"controllers": await self._box.controllers()})

    async def _identify(self, asked: WhoRequest) -> Controller:
        """Return whose badge or PIN it is; exactly one of the two ways must be taken."""
        if asked.badge is not None:
            if asked.controller is not None or asked.pin is not None:
                raise bad_request("badge", "give a badge, or controller and pin, not both")
            return await self._box.people.identify(badge=asked.badge)
        for field in ("controller", "pin"):
            if getattr(asked, field) is None:
                other = " together with pin, or badge" if field == "controller" else " of that controller"
                raise bad_request(field, f"missing; add {field}{other}")
        return await self._box.people.identify(controller=asked.controller, pin=asked.pin)

    # --- what is believed -------------------------------------------------------------------------------------------

    async def status(self, _request: web.Request) -> web.Response:
        """What the gate believes and how it fares."""
        return web.json_response(await self._box.status())

    async def history(self, request: web.Request) -> web.Response:
        """The newest answers of a lane, newest first."""
        asked = read_query(request, HistoryQuery)
        lane = self._box.lane(asked.lane)
        return web.json_response({"lane": lane.id, "scans": await self._box.history(lane, asked.limit)})

    async def health(self, _request: web.Request) -> web.Response:
        """The loop runs."""
        return web.Response(text="ok")

    async def ready(self, _request: web.Request) -> web.Response:
        """Guests can be judged now, or why not."""
        if why := self._box.ready():
            raise ApiError(503, "not_ready", why)
        return web.json_response({"ready": True})

    # --- the way to the CRM -----------------------------------------------------------------------------------------

    async def changes(self, request: web.Request) -> web.Response:
        """Push mode: feed lines, applied while they come in."""
        return await self._pushes.changes(request)

    async def sync_now(self, _request: web.Request) -> web.Response:
        """Ask the CRM now."""
        self._box.sync_now.set()
        return web.json_response({"asked": "now", "crm": self._box.crm.state}, status=202)

    async def sync_accept(self, _request: web.Request) -> web.Response:
        """Let the list take its place that is held back."""
        held = self._box.store.data.held
        if held is None:
            raise NotAllowed("data: no list is held back; there is nothing to accept")
        self._box.accept.set()
        if sink := self._pushes.sink:
            await sink.accept()
        return web.json_response({"asked": "accept", "held": held}, status=202)

    async def parked(self, _request: web.Request) -> web.Response:
        """The scans that the CRM would not take, oldest first."""
        found = await self._box.store.read(lambda tx: parked_scans(tx.journal))
        shown = [
            {
                "seq": each.seq,
                "scan_id": each.scan_id,
                "code": each.code,
                "message": each.message,
                "at": each.at,
                "retry": each.retry,
                "scan": each.body,
            }
            for each in found
        ]
        return web.json_response({"parked": shown})

    async def retry_parked(self, request: web.Request) -> web.Response:
        """Send a parked scan again, or all of them where none is named."""
        scan_id = request.match_info.get("id")
        count = await self._box.store.write(lambda tx: retry_parked(tx, scan_id))
        self._box.publish_status()
        return web.json_response({"retried": count}, status=202)

    async def drop_parked(self, request: web.Request) -> web.Response:
        """Give a parked scan up for good, with the reason."""
        asked, scan_id = await read_body(request, DropRequest), request.match_info["id"]
        now = self._box.clock.now()
        await self._box.store.write(lambda tx: drop_parked(tx, scan_id, asked.reason, now))
        self._box.publish_status()
        return web.json_response({"dropped": scan_id})
