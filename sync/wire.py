"""The Gate API, version 1, as models: what the gate and any CRM say to each other.

Base `<crm>/gate/v1`; JSON, UTF-8; instants are ISO 8601 UTC with `Z`. A model reads what it knows and keeps what it
does not in `model_extra`, so that unknown fields can be skipped and counted: the contract may grow.
"""

import base64
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from edge.core.barcodes import KEY_BYTES, parse_lookup
from edge.core.model import ClockTrust, Direction, EventStatus, OnDoubt, Per, Reentry
from sync.instants import parse_instant, write_instant

MAX_ROWS = 1000
"""The most rows that one `tickets` line may carry."""
MAX_SCANS = 500
"""The most scans in one `POST /scans`."""
NDJSON = "application/x-ndjson"


def _instant_text(text: str) -> str:
    parse_instant(text)
    return text


def _lookup_text(text: str) -> str:
    parse_lookup(text)
    return text


def _key_text(text: str) -> str:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise ValueError("a lookup key is 32 bytes in base64") from exc
    if len(key) != KEY_BYTES:
        raise ValueError("a lookup key is 32 bytes in base64")
    return text


def _id_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("an id has no NUL character")  # which not every database can hold: two would become one
    return text


def _zone_name(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:  # what zoneinfo raises for a name unknown, malformed, or a folder
        raise ValueError("tz is an IANA zone name, such as Europe/Kyiv") from exc
    return name


def _read_instant(value: object) -> datetime:
    if isinstance(value, datetime):
        return _as_utc(value)
    if not isinstance(value, str):
        raise ValueError("an instant is text: ISO 8601 UTC with Z, such as 2026-05-01T18:00:00Z")  # noqa: TRY004
    return parse_instant(value)


def _present(instant: datetime) -> datetime:
    if not 2020 <= instant.year < 2100:
        raise ValueError("a clock's time lies between 2020 and 2100; set the CRM's clock")
    return instant


def _as_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("an instant has a zone")
    try:
        return instant.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("an instant lies between the years 1 and 9999 in UTC") from exc


Id = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_id_text)]
Text = Annotated[str, Field(max_length=1000)]
Instant = Annotated[
    datetime, BeforeValidator(_read_instant), PlainSerializer(write_instant, return_type=str, when_used="json")
]
ClockTime = Annotated[Instant, AfterValidator(_present)]
"""What a clock shows; a box without one of its own takes it over, and could not count on from the calendar's end."""
InstantText = Annotated[str, Field(max_length=40), AfterValidator(_instant_text)]
"""An instant kept as it was sent, since fingerprints are taken over the text."""
LookupText = Annotated[str, Field(min_length=22, max_length=22), AfterValidator(_lookup_text)]
ZoneName = Annotated[str, AfterValidator(_zone_name)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
ScanDirection = Literal["entry", "exit"]


class WireModel(BaseModel):
    """What is common to all that crosses the wire: unknown fields are kept apart, values cannot change."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def unknown_fields(self) -> int:
        """Count the fields that this version does not know, in nested objects too."""
        count = len(self.model_extra or ())
        for name in type(self).model_fields:
            value = getattr(self, name)
            parts = (
                value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else (value,)
            )
            count += sum(each.unknown_fields() for each in parts if isinstance(each, WireModel))
        return count


# --- the change feed ------------------------------------------------------------------------------------------------


class ResetLine(WireModel):
    """First line of everything: what follows replaces all there was, at its last cursor and not before."""

    kind: Literal["reset"] = "reset"


class EventLine(WireModel):
    """An event as it now is."""

    kind: Literal["event"] = "event"
    id: Id
    name: Text
    venue: Text | None = None
    tz: ZoneName
    status: EventStatus
    starts_at: Instant
    ends_at: Instant


class EntryPolicyModel(WireModel):
    """How often a ticket type admits; `entries` null is unlimited."""

    entries: Annotated[int, Field(ge=0, le=1_000_000)] | None = 1
    per: Per = Per.EVENT
    reentry: Reentry = Reentry.NEVER
    cooldown_s: Annotated[int, Field(ge=0, le=31_536_000)] = 0


class TicketTypeLine(WireModel):
    """A ticket type as it now is."""

    kind: Literal["ticket_type"] = "ticket_type"
    id: Id
    event: Id
    name: Text
    entry_policy: EntryPolicyModel = EntryPolicyModel()


class HoursModel(WireModel):
    """One interval of a checkpoint's hours: `opens_at <= now < closes_at`."""

    opens_at: Instant
    closes_at: Instant

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.closes_at <= self.opens_at:
            raise ValueError("closes_at must be after opens_at")
        return self


class PoliciesModel(WireModel):
    """What a checkpoint does in doubt; left out: admit."""

    stale_after_s: Count | None = None
    on_stale: OnDoubt = OnDoubt.ADMIT
    on_clock: OnDoubt = OnDoubt.ADMIT


class CheckpointLine(WireModel):
    """A checkpoint as it now is."""

    kind: Literal["checkpoint"] = "checkpoint"
    id: Id
    event: Id
    name: Text
    zone: Id | None = None
    direction: Direction = Direction.BOTH
    ticket_types: list[Id] | None = None
    hours: list[HoursModel] | None = None
    controllers: list[Id] | None = None
    requires_controller: bool = False
    capacity: Count | None = None
    policies: PoliciesModel | None = None


class ControllerLine(WireModel):
    """A controller as they now are; `badge` a lookup, `pin` an argon2id hash."""

    kind: Literal["controller"] = "controller"
    id: Id
    name: Text
    badge: LookupText | None = None
    pin: Text | None = None
    supervisor: bool = False


class AssignmentLine(WireModel):
    """Where a lane of a device works; `lane` null is all its lanes. One assignment a device and lane.

    A `delete` of assignments names them by `assignment_id`.
    """

    kind: Literal["assignment"] = "assignment"
    device: Id
    lane: Id | None = None
    checkpoint: Id


def assignment_id(device: str, lane: str | None) -> str:
    """Name an assignment, which has no id of its own: `<device>/<lane>`, the lane empty for all."""
    return f"{device}/{lane or ''}"


TicketRow = tuple[
    LookupText,
    Id,
    Id,
    Literal["valid", "cancelled", "blocked", "revoked", "unpaid"],
    InstantText | None,
    InstantText | None,
    Text | None,
    Text | None,
    Text | None,
]
"""lookup, id, type, state, valid_from, valid_until, holder, seat, source."""


class TicketsLine(WireModel):
    """Tickets of one event; a row with the same lookup and event replaces the one before."""

    kind: Literal["tickets"] = "tickets"
    event: Id
    rows: Annotated[list[TicketRow], Field(max_length=MAX_ROWS)]


AdmissionRow = tuple[Id, Id | None, Id | None, ScanDirection, Instant, Id]
"""scan_id, ticket_id, checkpoint, direction, at, device."""


ROW_WIDTHS = {"tickets": 9, "admissions": 6}
"""The columns of each row that this version knows; further ones are skipped and counted like unknown fields."""


class AdmissionsLine(WireModel):
    """Entries and exits made at other devices."""

    kind: Literal["admissions"] = "admissions"
    rows: list[AdmissionRow]


class DeleteLine(WireModel):
    """Things that are no more; for `tickets` and `admissions` too, `ids` are theirs (a ticket's id, a scan_id)."""

    kind: Literal["delete"] = "delete"
    of: Literal["event", "ticket_type", "checkpoint", "controller", "assignment", "tickets", "admissions"]
    ids: list[Id]


class ConflictModel(WireModel):
    """One ticket admitted more often than its policy allows, because devices could not see each other.

    `scan_id` is the admission that was one too many, `scans` all that count, oldest first.
    """

    scan_id: Id
    ticket_id: Id
    event: Id
    scans: list["ConflictScan"]


class ConflictScan(WireModel):
    """One admission that takes part in a conflict."""

    scan_id: Id
    device: Id
    checkpoint: Id | None
    at: Instant


class ConflictLine(ConflictModel):
    """A conflict in which this device takes part; beyond version 1's list of kinds, so others skip it."""

    kind: Literal["conflict"] = "conflict"


class CursorLine(WireModel):
    """The place reached; all lines before it are applied with it in one transaction.

    `tickets` and `fingerprint` are those of the list that a gate holds once it stands at this cursor.
    """

    kind: Literal["cursor"] = "cursor"
    cursor: Annotated[str, Field(min_length=1, max_length=1000)]
    at: Instant
    more: bool = False
    tickets: Count | None = None
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None


Line = (
    ResetLine
    | EventLine
    | TicketTypeLine
    | CheckpointLine
    | ControllerLine
    | AssignmentLine
    | TicketsLine
    | AdmissionsLine
    | DeleteLine
    | ConflictLine
    | CursorLine
)
LINE_KINDS: dict[str, type[WireModel]] = {
    model.model_fields["kind"].default: model
    for model in (
        ResetLine,
        EventLine,
        TicketTypeLine,
        CheckpointLine,
        ControllerLine,
        AssignmentLine,
        TicketsLine,
        AdmissionsLine,
        DeleteLine,
        ConflictLine,
        CursorLine,
    )
}

# --- requests and answers -------------------------------------------------------------------------------------------


class DeviceModel(WireModel):
    """What a box says of itself when it enrols."""

    name: Text
    hardware: Text | None = None
    serial: Text | None = None
    software: Text | None = None


class EnrolRequest(WireModel):
    """`POST /enrol`."""

    code: Annotated[str, Field(min_length=1, max_length=200)]
    device: DeviceModel


class EnrolAnswer(WireModel):
    """What the CRM hands out once; `lookup_key` is 32 bytes in base64."""

    device_id: Id
    name: Text
    organiser: Text
    token: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[\x21-\x7e]+$")]
    lookup_key: Annotated[str, AfterValidator(_key_text)]


class ScanModel(WireModel):
    """One journal row as the CRM gets it.

    `prev` is the hash of the row before it, 64 hex digits. `code` is sent for unknown codes only. `of` is the scan
    that an override admits or that a `not_passed` releases; left out where there is none.
    """

    scan_id: Id
    seq: Annotated[int, Field(ge=1)]
    prev: Annotated[str, Field(max_length=64)]
    lane: Id
    checkpoint: Id | None = None
    controller: Id | None = None
    ticket_id: Id | None = None
    lookup: LookupText | None = None
    code: Annotated[str, Field(max_length=4096)] | None = None
    direction: ScanDirection
    verdict: Literal["admitted", "exited", "refused"]
    reason: Annotated[str, Field(min_length=1, max_length=40)]
    at: Instant
    clock: ClockTrust
    passage: Literal["passed", "not_passed", "unknown"] | None = None
    note: Text | None = None
    of: Id | None = None


class ScansRequest(WireModel):
    """`POST /scans`, as the CRM first reads it: each scan is judged for itself, so that one bad scan is one reject."""

    device_id: Id
    scans: Annotated[list[dict[str, Any]], Field(max_length=MAX_SCANS)]


class Rejected(WireModel):
    """One scan that the CRM will not take: it is parked and shown, and the next ones go on."""

    scan_id: str
    code: str
    message: str


class ScansAnswer(WireModel):
    """`acked` is the highest seq up to which every scan is stored or rejected."""

    acked: Annotated[int, Field(ge=0)]
    conflicts: list[ConflictModel] = []
    rejected: list[Rejected] = []


class HeartbeatAnswer(WireModel):
    """The CRM's clock."""

    time: ClockTime


class ErrorModel(WireModel):
    """What went wrong, for programs and for people."""

    code: str
    message: str


class ErrorAnswer(WireModel):
    """`{"error":{"code","message"}}`."""

    error: ErrorModel


class FingerprintModel(WireModel):
    """Count and fingerprint of one range of lookups."""

    count: Count
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class FingerprintsAnswer(FingerprintModel):
    """`GET /fingerprints?prefix=`: the range and its sixteen parts by next hex digit of the lookup's bytes."""

    children: dict[str, FingerprintModel]


class EnrolmentCode(WireModel):
    """The QR that the CRM shows: `{"brama":1,"url","code"}`."""

    brama: Literal[1] = 1
    url: Text
    code: Annotated[str, Field(min_length=1, max_length=200)]
