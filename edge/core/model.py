"""What the CRM says, as values: events, ticket types, tickets, checkpoints, controllers.

All instants are aware UTC datetimes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo


class EventStatus(StrEnum):
    """Only a confirmed event admits."""

    DRAFT = "draft"
    CONFIRMED = "confirmed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class TicketState(StrEnum):
    """Only a valid ticket admits; each other state is also the reason of its refusal."""

    VALID = "valid"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"
    REVOKED = "revoked"
    UNPAID = "unpaid"


class Direction(StrEnum):
    """Which way a guest goes; `both` is what a lane or checkpoint may allow, never what a scan did."""

    ENTRY = "entry"
    EXIT = "exit"
    BOTH = "both"

    def allows(self, direction: "Direction") -> bool:
        """Tell whether a lane or checkpoint of this direction takes a scan of that one."""
        return self in (Direction.BOTH, direction)


class Per(StrEnum):
    """What `EntryPolicy.entries` counts over."""

    EVENT = "event"
    DAY = "day"


class Reentry(StrEnum):
    """When a guest who was admitted may come in again."""

    NEVER = "never"
    AFTER_EXIT = "after_exit"
    ALWAYS = "always"


class OnDoubt(StrEnum):
    """What a checkpoint does when its data is stale or its clock not to be trusted."""

    ADMIT = "admit"
    REFUSE = "refuse"


class ClockTrust(StrEnum):
    """How far the gate believes its own time."""

    TRUSTED = "trusted"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class EntryPolicy:
    """How often a ticket type admits.

    `entries` is the number of entries per event or per local day, None for unlimited. What `reentry` adds to it:

    - `never`: each entry counts, exits change nothing.
    - `after_exit`: an exit gives the entry back; at most `entries` (one, where unlimited) may be inside at once.
    - `always`: after a first entry the guest may come in again at any time.

    `cooldown_s` seconds must lie between two entries.
    """

    entries: int | None = 1
    per: Per = Per.EVENT
    reentry: Reentry = Reentry.NEVER
    cooldown_s: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """What is attended; `tz` is an IANA zone name, in which its days are counted and its hours shown."""

    id: str
    name: str
    venue: str
    tz: str
    status: EventStatus
    starts_at: datetime
    ends_at: datetime

    @property
    def zone(self) -> ZoneInfo:
        """The event's zone; cached by zoneinfo itself."""
        return ZoneInfo(self.tz)


@dataclass(frozen=True, slots=True)
class TicketType:
    """A kind of ticket of one event."""

    id: str
    event: str
    name: str
    entry_policy: EntryPolicy = EntryPolicy()


@dataclass(frozen=True, slots=True)
class Interval:
    """Half-open: `opens_at <= now < closes_at`."""

    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True)
class Policies:
    """What a checkpoint does in doubt; `stale_after_s` None: data is never too old."""

    stale_after_s: int | None = None
    on_stale: OnDoubt = OnDoubt.ADMIT
    on_clock: OnDoubt = OnDoubt.ADMIT


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A point of entry or exit of one event.

    `hours` None is always open, () never. `ticket_types` and `controllers` None is all of them.
    """

    id: str
    event: str
    name: str
    zone: str | None = None
    direction: Direction = Direction.BOTH
    ticket_types: tuple[str, ...] | None = None
    hours: tuple[Interval, ...] | None = None
    controllers: tuple[str, ...] | None = None
    requires_controller: bool = False
    capacity: int | None = None
    policies: Policies = Policies()


@dataclass(frozen=True, slots=True)
class Controller:
    """A person at the gate; `badge` is a lookup as text, `pin` an argon2id hash in PHC string form."""

    id: str
    name: str
    badge: str | None = None
    pin: str | None = None
    supervisor: bool = False


@dataclass(frozen=True, slots=True)
class Assignment:
    """The CRM's word on where a lane works; `lane` None is every lane of the device."""

    device: str
    lane: str | None
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """One whitelist row: a ticket of one event."""

    id: str
    event: str
    type: str
    state: TicketState
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    holder: str | None = None
    seat: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """One entry or exit of a ticket that stands; `device` None means this device."""

    at: datetime
    direction: Direction
    checkpoint: str | None
    device: str | None = None
    scan_id: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the CRM says but the tickets, by id."""

    events: Mapping[str, Event] = field(default_factory=dict)
    ticket_types: Mapping[str, TicketType] = field(default_factory=dict)
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    controllers: Mapping[str, Controller] = field(default_factory=dict)
    assignments: tuple[Assignment, ...] = ()

    def assigned(self, device: str, lane: str) -> str | None:
        """Return the checkpoint that the CRM gives this lane: a line for the lane itself beats one for all."""
        mine = [each for each in self.assignments if each.device == device and each.lane in (lane, None)]
        mine.sort(key=lambda each: each.lane is None)
        return mine[0].checkpoint if mine else None
