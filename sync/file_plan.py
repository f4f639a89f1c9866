"""What a gate without a CRM is to do: an optional `plan.toml` or `plan.json`, written by hand beside the barcode files.

It names events, ticket types, checkpoints and controllers with the keys of the Gate API; what it leaves out is filled
in, so that no plan at all is one event that is always open, with one checkpoint that admits everybody. All problems are
named at once, each by its key.
"""

import hashlib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from config.problems import described
from edge.core.barcodes import is_readable, lookup_of, lookup_text
from sync.errors import BadFeed, LinkDown
from sync.instants import read_local_instant
from sync.lines import describe
from sync.plan_tables import EventTable, HoursTable, PlanTable, TicketTypeTable
from sync.wire import AssignmentLine, CheckpointLine, ControllerLine, EventLine, TicketTypeLine, WireModel

NAMES = ("plan.toml", "plan.json")
MAX_BYTES = 1 << 20
ALWAYS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
"""When an event is that has no beginning and no end."""
CHECKPOINT = "gate"
"""The id of the checkpoint where the plan has none."""
_PIN = re.compile(r"[0-9]{4,12}")
_HASH = re.compile(r"\$argon2id\$\S{20,}")
M = TypeVar("M", bound=WireModel)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose plan it is: this box, its lookup key, and what it calls itself, the list and its zone if nobody says."""

    device_id: str
    key: bytes
    gate_name: str
    list_name: str
    tz: str


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """An event, the patterns of its files (None: all), and its ticket types' names by id (None: as the files say).

    `prefix` goes before the ids of types that the files name.
    """

    id: str
    tz: str
    files: tuple[str, ...] | None
    types: dict[str, str] | None
    prefix: str = ""

    def takes(self, file_name: str) -> bool:
        """Tell whether a file holds tickets for this event."""
        return self.files is None or any(fnmatch(file_name.casefold(), each.casefold()) for each in self.files)


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What a plan comes to: its events, its lines of the feed, and a digest of all that it was made of."""

    events: tuple[PlannedEvent, ...]
    lines: tuple[str, ...]
    digest: bytes

    @property
    def zone(self) -> ZoneInfo:
        """In which the days are counted: the first event's."""
        return ZoneInfo(self.events[0].tz)


def load_plan(path: Path | None, owner: Owner) -> FilePlan:
    """Read and check a plan; None: there is none. PINs are hashed here, which takes a while: not for the event loop.

    Raises:
        LinkDown: it cannot be read.
        BadFeed: names every problem in it.
    """
    raw = b"" if path is None else _read(path)
    name = path.name if path else "no plan"
    plan = _parsed(name, raw) if path else PlanTable()
    builder = _Builder(plan, owner)
    lines = builder.lines()
    if builder.problems:
        raise _bad(name, builder.problems)
    said = [owner.device_id, owner.gate_name, owner.list_name, owner.tz]
    digest = hashlib.blake2b(json.dumps(said).encode() + raw, key=owner.key, digest_size=16).digest()
    return FilePlan(builder.events(), tuple(line.model_dump_json() for line in lines), digest)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as exc:
        # No fault of the plan, which need not change for it to be mended.
        raise LinkDown(f"{path}: {exc.strerror}; give the gate's user leave to read it") from exc
    if len(raw) > MAX_BYTES:
        raise BadFeed(f"{path.name}: longer than {MAX_BYTES} bytes; this is no plan")
    return raw


def _parsed(name: str, raw: bytes) -> PlanTable:
    try:
        text = raw.decode("utf-8-sig")
        tables = json.loads(text) if name.endswith(".json") else tomllib.loads(text)
    except UnicodeDecodeError as exc:
        raise BadFeed(f"{name}: not UTF-8 (byte {exc.start}); save it as UTF-8") from exc
    except (ValueError, RecursionError) as exc:
        raise BadFeed(f"{name}: not {name.rpartition('.')[2].upper()}: {exc}") from exc
    try:
        return PlanTable.model_validate(tables)
    except ValidationError as exc:
        raise _bad(name, [described(each, PlanTable) for each in exc.errors(include_url=False)]) from exc


def _bad(name: str, problems: Sequence[str]) -> BadFeed:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return BadFeed(f"{name}: {count}: {'; '.join(problems)}")


class _Builder:
    """Fills in what a plan leaves out, and writes it as the feed does; what is wrong is kept in `problems`."""

    def __init__(self, plan: PlanTable, owner: Owner) -> None:
        self._plan = plan
        self._owner = owner
        self._events = plan.event or [EventTable(name=owner.list_name)]
        self.problems: list[str] = []

    def events(self) -> tuple[PlannedEvent, ...]:
        """Return what must be known of the events to read their tickets."""
        found = []
        for event in self._events:
            types = {each.id: each.name or each.id for each in self._types_of(event.id)}
            files = None if event.files is None else tuple(event.files)
            tz = event.tz or self._owner.tz
            found.append(PlannedEvent(event.id, tz, files, types or None, self._prefix(event)))
        return tuple(found)

    def lines(self) -> list[WireModel]:
        """Return the lines, in the order in which one thing names another."""
        self._check_ids("event", self._events)
        for kind in ("ticket_type", "checkpoint", "controller"):
            self._check_ids(kind, getattr(self._plan, kind))
        parts = (self._event_lines(), self._type_lines(), self._checkpoint_lines(), self._controller_lines())
        return [line for part in (*parts, self._assignments()) for line in part if line is not None]

    def _event_lines(self) -> Iterator[EventLine | None]:
        several = len(self._events) > 1
        for at, each in enumerate(self._events):
            key, zone = f"event.{at}", ZoneInfo(each.tz or self._owner.tz)
            if several and each.files is None:
                self.problems.append(f'{key}.files: missing; name those with its tickets, such as ["concert*.csv"]')
            if several and each.starts_at is None:
                self.problems.append(f"{key}.starts_at: missing; guests of another event are told when theirs is")
            starts_at = self._instant(f"{key}.starts_at", each.starts_at, zone) or ALWAYS[0]
            ends_at = self._instant(f"{key}.ends_at", each.ends_at, zone) or ALWAYS[1]
            if ends_at <= starts_at:
                self.problems.append(f"{key}.ends_at: must be after starts_at")
            fields = each.model_dump(include={"id", "name", "venue", "status"})
            yield self._made(key, EventLine, **fields, tz=zone.key, starts_at=starts_at, ends_at=ends_at)

    def _type_lines(self) -> Iterator[TicketTypeLine | None]:
        for at, each in enumerate(self._plan.ticket_type):
            if event := self._event_of(f"ticket_type.{at}", each.event):
                policy = each.entry_policy.model_dump()
                name = each.name or each.id
                yield self._made(
                    f"ticket_type.{at}", TicketTypeLine, id=each.id, event=event.id, name=name, entry_policy=policy
                )

    def _checkpoint_lines(self) -> Iterator[CheckpointLine | None]:
        if not self._plan.checkpoint:
            if len(self._events) == 1:
                yield CheckpointLine(id=CHECKPOINT, event=self._events[0].id, name=self._owner.gate_name)
            else:
                self.problems.append("checkpoint: missing; say for which event the gate works")
        people = {each.id for each in self._plan.controller}
        for at, each in enumerate(self._plan.checkpoint):
            key = f"checkpoint.{at}"
            for unknown in sorted(set(each.controllers or ()) - people):
                self.problems.append(f"{key}.controllers: {unknown} is no controller of this plan")
            if event := self._event_of(key, each.event):
                fields = each.model_dump(exclude={"lanes", "event", "name", "hours", "ticket_types"})
                fields["ticket_types"] = self._types_named(key, event, each.ticket_types)
                fields["hours"] = self._hours(key, event, each.hours)
                yield self._made(key, CheckpointLine, **fields, event=event.id, name=each.name or each.id)

    def _controller_lines(self) -> Iterator[ControllerLine | None]:
        for at, each in enumerate(self._plan.controller):
            badge = pin = None
            if each.badge is not None and not is_readable(each.badge):
                self.problems.append(f"controller.{at}.badge: the code on the badge, 1 to 4,096 characters that print")
            elif each.badge is not None:
                badge = lookup_text(lookup_of(self._owner.key, each.badge))
            if each.pin is not None and _PIN.fullmatch(each.pin):
                pin = _hashed(each.pin)
            elif each.pin is not None and _HASH.fullmatch(each.pin):
                pin = each.pin
            elif each.pin is not None:
                self.problems.append(f"controller.{at}.pin: 4 to 12 digits in quotes, or an argon2id hash of them")
            fields = {"id": each.id, "name": each.name, "supervisor": each.supervisor}
            yield self._made(f"controller.{at}", ControllerLine, **fields, badge=badge, pin=pin)

    def _assignments(self) -> Iterator[AssignmentLine]:
        """Yield where the lanes work; a lone checkpoint has them all."""
        device, given = self._owner.device_id, self._plan.checkpoint
        if len(given) < 2 and not any(each.lanes is not None for each in given):
            if len(self._events) == 1 or given:
                yield AssignmentLine(device=device, checkpoint=given[0].id if given else CHECKPOINT)
            return
        taken: dict[str, str] = {}
        for at, each in enumerate(given):
            for lane in each.lanes or ():
                if lane in taken:
                    self.problems.append(f"checkpoint.{at}.lanes: {lane} works at {taken[lane]} already")
                taken[lane] = each.id
                yield AssignmentLine(device=device, lane=lane, checkpoint=each.id)

    # --- parts ------------------------------------------------------------------------------------------------------

    def _types_of(self, event: str) -> list[TicketTypeTable]:
        lone = len(self._events) == 1
        return [each for each in self._plan.ticket_type if each.event == event or (lone and each.event is None)]

    def _prefix(self, event: EventTable) -> str:
        return f"{event.id}:" if len(self._events) > 1 else ""

    def _types_named(self, key: str, event: EventTable, named: list[str] | None) -> list[str] | None:
        known = {each.id for each in self._types_of(event.id)}
        if named is None or not known:
            return named and [self._prefix(event) + each.casefold() for each in named]  # as the files name them
        for unknown in sorted(set(named) - known):
            self.problems.append(f"{key}.ticket_types: {unknown} is no ticket type of {event.id}")
        return named

    def _hours(self, key: str, event: EventTable, hours: list[HoursTable] | None) -> list[dict[str, datetime]] | None:
        if hours is None:
            return None
        zone, found = ZoneInfo(event.tz or self._owner.tz), []
        for at, each in enumerate(hours):
            opens_at = self._instant(f"{key}.hours.{at}.opens_at", each.opens_at, zone)
            closes_at = self._instant(f"{key}.hours.{at}.closes_at", each.closes_at, zone)
            if opens_at and closes_at:
                found.append({"opens_at": opens_at, "closes_at": closes_at})
        return found

    def _instant(self, key: str, text: str | None, zone: ZoneInfo) -> datetime | None:
        try:
            return read_local_instant(text, zone) if text is not None else None
        except ValueError as exc:
            self.problems.append(f"{key}: {exc}")
            return None

    def _event_of(self, key: str, named: str | None) -> EventTable | None:
        if named is None and len(self._events) == 1:
            return self._events[0]
        for each in self._events:
            if each.id == named:
                return each
        known = ", ".join(each.id for each in self._events)
        why = "missing; there are several" if named is None else f"{named} is no event of this plan"
        self.problems.append(f"{key}.event: {why}; use one of {known}")
        return None

    def _check_ids(self, kind: str, given: Iterable[Any]) -> None:
        twice = [each for each, count in Counter(each.id for each in given).items() if count > 1]
        self.problems += [f"{kind}.id: {each} is there twice; give each its own id" for each in twice]

    def _made(self, key: str, model: type[M], **fields: Any) -> M | None:
        try:
            return model(**fields)
        except ValidationError as exc:
            for error in exc.errors(include_url=False, include_input=False):
                self.problems.append(f"{key}.{describe(error)}")
            return None


def _hashed(pin: str) -> str:
    from argon2 import PasswordHasher  # few plans have PINs

    # RFC 9106 and OWASP's password storage cheat sheet: argon2id, 19 MiB, 2 passes, 1 lane.
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(pin)
