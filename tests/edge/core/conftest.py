"""One venue for the core's stories: a concert in Kyiv on 1 May 2026, with its North gate open from 18:00 to 23:00.

The builders are fixtures that return functions, session-wide so that Hypothesis may use them too. What a story does not
name is in order: the guest would be let in.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from edge.core.admission import Facts
from edge.core.model import (
    Checkpoint,
    Controller,
    Direction,
    EntryPolicy,
    Event,
    EventStatus,
    Interval,
    Plan,
    Ticket,
    TicketState,
    TicketType,
    Use,
)

Changes = Mapping[str, Any]


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _a_ticket(**changes: Any) -> Ticket:
    return Ticket(
        **{"id": "t-1", "event": "concert", "type": "standard", "state": TicketState.VALID, "seat": "A-12", **changes}
    )


def _an_event(**changes: Any) -> Event:
    return Event(
        **{
            "id": "concert",
            "name": "Океан Ельзи",
            "venue": "Палац спорту",
            "tz": "Europe/Kyiv",
            "status": EventStatus.CONFIRMED,
            "starts_at": _at("2026-05-01T16:00:00Z"),
            "ends_at": _at("2026-05-01T20:00:00Z"),
            **changes,
        }
    )


def _a_checkpoint(**changes: Any) -> Checkpoint:
    evening = Interval(_at("2026-05-01T15:00:00Z"), _at("2026-05-01T20:00:00Z"))
    return Checkpoint(**{"id": "c-north", "event": "concert", "name": "North gate", "hours": (evening,), **changes})


def _an_entry(at: str, **changes: Any) -> Use:
    return Use(**{"at": _at(at), "direction": Direction.ENTRY, "checkpoint": "c-north", **changes})


def _facts(
    *,
    ticket: Changes | None = None,
    known: bool = True,
    event: Changes | None = None,
    checkpoint: Changes | None = None,
    assigned: bool = True,
    policy: Changes | None = None,
    also_events: Iterable[Event] = (),
    also_checkpoints: Iterable[Checkpoint] = (),
    staff: Iterable[Controller] = (),
    **more: Any,
) -> Facts:
    """Build the facts of one read; `known` False: no such ticket, `assigned` False: the lane has no checkpoint."""
    here = _a_checkpoint(**(checkpoint or {}))
    events = (_an_event(**(event or {})), *also_events)
    standard = TicketType("standard", "concert", "Standard", EntryPolicy(**(policy or {})))
    return Facts(
        ticket=_a_ticket(**(ticket or {})) if known else None,
        checkpoint=here if assigned else None,
        plan=Plan(
            events={each.id: each for each in events},
            ticket_types={standard.id: standard},
            checkpoints={each.id: each for each in (here, *also_checkpoints)},
            controllers={each.id: each for each in staff},
        ),
        **more,
    )


@pytest.fixture(scope="session")
def a_ticket() -> Callable[..., Ticket]:
    return _a_ticket


@pytest.fixture(scope="session")
def an_event() -> Callable[..., Event]:
    return _an_event


@pytest.fixture(scope="session")
def a_checkpoint() -> Callable[..., Checkpoint]:
    return _a_checkpoint


@pytest.fixture(scope="session")
def an_entry() -> Callable[..., Use]:
    return _an_entry


@pytest.fixture(scope="session")
def facts() -> Callable[..., Facts]:
    return _facts
