"""The whole gate as its page, its API and its commands see it: lanes, people, data, and how each fares."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib import metadata
from typing import Any, Protocol

from config.settings import Settings
from drivers.camera.messages import Alive
from drivers.protocols import Camera
from edge.clock import GateClock
from edge.core.admission import instant_text
from edge.core.hours import is_open, next_opening
from edge.core.model import Checkpoint, Plan
from edge.desk import Desk
from edge.enrolling import CrmLink
from edge.gate import Lane, ReaderCount
from edge.hub import Hub
from edge.judging import NotFound, shown_again
from edge.people import People
from edge.store.store import Store
from edge.store.tx import Tx
from edge.supervise import Health
from sync.state import CrmHealth

HISTORY = 20
DARK, BRIGHT = 25, 235
"""Mean luma of a picture (0 to 255) in which there is little to read."""
BLURRED = 30
"""Variance of the Laplacian of a picture that is out of focus, or shows nothing."""
HELD_OPEN = "the emergency contact is active; the lane lets everybody through until it is not"


class WatchedCamera(Camera, Protocol):
    """A camera that says how it fares."""

    @property
    def alive(self) -> Alive | None:
        """Return what its process said last; None: it has not been up."""


@dataclass(frozen=True, slots=True)
class ShownCamera:
    """A camera that the pages can show; `on_page`: beside the verdicts of its lane, too."""

    camera: WatchedCamera
    lane: str
    device: str
    on_page: bool
    job: str
    """The name of the job that reads it."""


@dataclass(slots=True, kw_only=True)
class Box:
    """Everything that runs on this device, for those who show it. Built by `edge.main` alone."""

    settings: Settings
    store: Store
    clock: GateClock
    hub: Hub
    people: People
    link: CrmLink
    desk: Desk
    lanes: Mapping[str, Lane]
    healths: Mapping[str, Health]
    crm: CrmHealth
    name: str
    readers: dict[str, ReaderCount] = field(default_factory=dict)
    """What came from each reader, by the name of its job."""
    cameras: dict[str, ShownCamera] = field(default_factory=dict)
    """By a name that is short and stays: the lane and the reader's place in it, such as `north-1.2`."""
    sync_now: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to pull now instead of when the CRM next answers."""
    accept: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to let a list take its place that was held back."""

    def lane(self, lane_id: str | None) -> Lane:
        """Return a lane by name, the first where none is named.

        Raises:
            NotFound: no such lane.
        """
        if lane_id is None:
            return next(iter(self.lanes.values()))
        try:
            return self.lanes[lane_id]
        except KeyError as exc:
            raise NotFound(f"lane: no lane {lane_id} here; use one of {', '.join(self.lanes)}") from exc

    async def status(self) -> dict[str, Any]:
        """Return what the gate believes and how it fares (design section 8)."""
        now = self.clock.now()
        plan, shifts = await self._plan_and_shifts()
        backlog, data = await self.store.backlog(), self.store.data
        credentials = self.link.credentials
        return {
            "version": release(),
            "device": {
                "name": self.name,
                "id": self.store.identity.device_id if self.store.identity else None,
                "organiser": credentials.organiser if credentials else None,
                "enrolled": self.store.identity is not None,
            },
            "clock": {
                "now": instant_text(now),
                "trust": self.clock.trust.value,
                "skew_s": round(self.clock.skew_s, 3) if self.clock.skew_s is not None else None,
            },
            "data": {
                "age_s": max(0, int((now - data.synced_at).total_seconds())) if data.synced_at else None,
                "synced_at": instant_text(data.synced_at) if data.synced_at else None,
                "tickets": data.tickets,
                "cursor": data.cursor,
                "fingerprint": data.fingerprint,
                "held": data.held,
                "unknown": self.crm.unknown,
            },
            "crm": {
                "url": self.crm.url,
                "state": self.crm.state,
                "error": self.crm.error,
                "note": self.crm.note,
                "heard_at": instant_text(self.crm.heard_at) if self.crm.heard_at else None,
                "progress": asdict(self.crm.progress) if self.crm.progress else None,
            },
            "backlog": {
                "unsent": backlog.unsent,
                "head_seq": backlog.head_seq,
                "acked_seq": backlog.acked_seq,
                "oldest_at": backlog.oldest_at,
                "parked": backlog.parked,
            },
            "conflicts": [json.loads(body) for body in await self.store.conflicts()] if backlog.conflicts else [],
            "lanes": [self._lane_status(lane, plan, shifts.get(lane.id, []), now) for lane in self.lanes.values()],
            "readers": [self._reader_status(name, health) for name, health in self.healths.items() if _is_reader(name)],
            "shift": shifts,
            "faults": self.faults(),
        }

    def faults(self) -> list[str]:
        """Return what a person should mend, the worst first."""
        found = [f"lane {lane.id}: held open: {HELD_OPEN}" for lane in self.lanes.values() if lane.door.held_open]
        found += [f"lane {lane.id}: {lane.cannot_record}" for lane in self.lanes.values() if lane.cannot_record]
        found += [f"{_plain(name)}: {health.error}" for name, health in self.healths.items() if health.error]
        found += [f"lane {lane.id}: {lane.door.fault}" for lane in self.lanes.values() if lane.door.fault]
        if self.store.pictures.fault:
            found.append(self.store.pictures.fault)
        if self.crm.state in {"refused", "revoked"} and self.crm.error:
            found.append(f"crm: {self.crm.error}")
        if self.store.data.held:
            found.append(f"data: {self.store.data.held}")
        if self.store.data.disowned:
            found.append(f"data: {self.store.data.disowned}")
        if self.store.damaged_whitelist:
            found.append(f"data: the ticket list was damaged; set aside as {self.store.damaged_whitelist.name}")
        if self.store.salvage:
            rows, lost = self.store.salvage.rows, len(self.store.salvage.lost)
            found.append(f"journal: was damaged; {rows} scans salvaged, {lost} gaps; run brama doctor")
        return found

    def ready(self) -> str | None:
        """Return why no guest can be judged now; None: ready."""
        return next((lane.cannot_record for lane in self.lanes.values() if lane.cannot_record), None)

    async def history(self, lane: Lane, limit: int = HISTORY) -> list[dict[str, Any]]:
        """Return the newest answers of a lane, newest first."""
        scans = await self.store.latest(limit, lane.id)

        def job(tx: Tx) -> list[dict[str, Any]]:
            return [lane.answer(shown_again(tx, scan)).body() for scan in scans]

        return await self.store.read(job)

    async def controllers(self) -> list[dict[str, Any]]:
        """Return whom the page may offer for signing in; never their badges or PINs."""
        plan, _shifts = await self._plan_and_shifts()
        people: Iterable[Any] = sorted(plan.controllers.values(), key=lambda each: each.name)
        return [{"id": each.id, "name": each.name, "supervisor": each.supervisor} for each in people]

    def publish_status(self) -> None:
        """Tell onlookers that the status has changed; they ask for it."""
        self.hub.publish({"kind": "status"})

    async def _plan_and_shifts(self) -> tuple[Plan, dict[str, list[str]]]:
        return await self.store.read(lambda tx: tx.plan), await self.store.shifts(self.lanes)

    def _lane_status(self, lane: Lane, plan: Plan, on_shift: list[str], now: datetime) -> dict[str, Any]:
        checkpoint = self._checkpoint_of(lane, plan)
        event = plan.events.get(checkpoint.event) if checkpoint else None
        opens_at = next_opening(checkpoint.hours or (), now) if checkpoint else None
        return {
            "id": lane.id,
            "direction": lane.settings.direction,
            "checkpoint": checkpoint.id if checkpoint else None,
            "checkpoint_name": checkpoint.name if checkpoint else None,
            "event": event.id if event else None,
            "event_name": event.name if event else None,
            "event_status": event.status.value if event else None,
            "tz": event.tz if event else None,
            "open": is_open(checkpoint.hours, now) if checkpoint else False,
            "opens_at": instant_text(opens_at) if opens_at else None,
            "requires_controller": checkpoint.requires_controller if checkpoint else False,
            "controllers": [
                {"id": each, "name": plan.controllers[each].name if each in plan.controllers else each}
                for each in on_shift
            ],
            "cannot_record": lane.cannot_record,
            "turnstile": {"fault": lane.door.fault, "held_open": lane.door.held_open}
            if lane.settings.turnstile
            else None,
        }

    def _checkpoint_of(self, lane: Lane, plan: Plan) -> Checkpoint | None:
        identity, named = self.store.identity, lane.settings.checkpoint
        if named is None and identity is not None:
            named = plan.assigned(identity.device_id, lane.id)
        return plan.checkpoints.get(named) if named else None

    def _reader_status(self, name: str, health: Health) -> dict[str, Any]:
        _kind, lane, driver, device = name.split(":", 3)
        state = {"lane": lane, "driver": driver, "device": device, "state": health.state, "error": health.error}
        cameras = {each.job: (camera_id, each.camera.alive) for camera_id, each in self.cameras.items()}
        camera_id, alive = cameras.get(name, ("", None))
        figures = _figures(camera_id, alive) if alive is not None else None
        return state | asdict(self.readers.get(name) or ReaderCount()) | {"camera": figures}


def _figures(camera_id: str, alive: Alive) -> dict[str, Any]:
    """Return how a camera fares."""
    return {
        "id": camera_id,
        "frames": alive.frames,
        "dropped": alive.dropped,
        "still": alive.still,
        "fps": round(alive.fps, 1),
        "median_ms": round(alive.median_ms, 1),
        "brightness": round(alive.brightness),
        "sharpness": round(alive.sharpness),
        "hint": picture_hint(alive),
    }


def picture_hint(alive: Alive) -> str | None:
    """Return what spoils a camera's picture, if anything does."""
    if alive.brightness < DARK:
        return "too_dark"
    if alive.brightness > BRIGHT:
        return "too_bright"
    return "out_of_focus" if alive.sharpness < BLURRED else None


def release() -> str:
    """Return the release that runs; one that runs from its source tree, never installed, says so."""
    try:
        return metadata.version("brama")
    except metadata.PackageNotFoundError:
        return "0+source"


def reader_name(lane: str, driver: str, device: str) -> str:
    """Name a reader's job, so that its health can be shown with its lane."""
    return f"reader:{lane}:{driver}:{device}"


def _plain(job: str) -> str:
    """Name a job for people: what belongs to a lane by that, since its error names the device."""
    kind, _, lane = job.partition(":")
    return f"lane {lane.partition(':')[0]}" if lane else kind


def _is_reader(name: str) -> bool:
    return name.startswith("reader:")
