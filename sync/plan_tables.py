"""The tables of a plan, as people write them in `plan.toml` or `plan.json`; see `sync.file_plan`.

The keys are those of the Gate API. One that is not known is a problem: a person has mistyped it.
"""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from edge.core.model import Direction, EventStatus
from sync.wire import EntryPolicyModel, Id, PoliciesModel, Text, ZoneName

EVENT = "event"
"""The id of an event that is given none; it stays, so that uses still count when the event's name is changed."""


def _moment(value: object) -> str:
    """Take an instant as TOML has it, or as text; the zone of its event is not known yet."""
    if isinstance(value, str):
        return value
    if isinstance(value, date):
        return value.isoformat()
    raise ValueError("an instant is a date and a time, such as 2026-05-01T21:00")


def _entries(value: object) -> object:
    return None if value == "unlimited" else value  # TOML has no null


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value  # [event] is as good as [[event]]


Moment = Annotated[str, BeforeValidator(_moment)]
_ONE_OR_MORE = BeforeValidator(_listed)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EventTable(_Strict):
    """An event; `files` are patterns of the names of the files that hold its tickets."""

    id: Id = EVENT
    name: Text
    venue: Text | None = None
    tz: ZoneName | None = None
    status: EventStatus = EventStatus.CONFIRMED
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    files: list[str] | None = None


class EntryPolicyTable(EntryPolicyModel):
    """How often a ticket type admits; `entries` may be "unlimited"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entries: Annotated[int | None, Field(ge=0, le=1_000_000), BeforeValidator(_entries)] = 1


class TicketTypeTable(_Strict):
    """A ticket type; left out altogether, the files say which there are."""

    id: Id
    event: Id | None = None
    name: Text | None = None
    entry_policy: EntryPolicyTable = EntryPolicyTable()


class HoursTable(_Strict):
    """One interval of a checkpoint's hours."""

    opens_at: Moment
    closes_at: Moment


class PoliciesTable(PoliciesModel):
    """What a checkpoint does in doubt."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CheckpointTable(_Strict):
    """A checkpoint; `lanes` are those of this gate that work here, all where there is but one checkpoint."""

    id: Id
    event: Id | None = None
    name: Text | None = None
    zone: Id | None = None
    direction: Direction = Direction.BOTH
    ticket_types: list[Id] | None = None
    hours: list[HoursTable] | None = None
    controllers: list[Id] | None = None
    requires_controller: bool = False
    capacity: Annotated[int, Field(ge=0)] | None = None
    policies: PoliciesTable | None = None
    lanes: list[Id] | None = None


class ControllerTable(_Strict):
    """A controller; `badge` is the code on the badge, `pin` 4 to 12 digits or an argon2id hash of them."""

    id: Id
    name: Text
    badge: str | None = None
    pin: str | None = None
    supervisor: bool = False


class PlanTable(_Strict):
    """The whole plan."""

    event: Annotated[list[EventTable], _ONE_OR_MORE] = []
    ticket_type: Annotated[list[TicketTypeTable], _ONE_OR_MORE] = []
    checkpoint: Annotated[list[CheckpointTable], _ONE_OR_MORE] = []
    controller: Annotated[list[ControllerTable], _ONE_OR_MORE] = []
