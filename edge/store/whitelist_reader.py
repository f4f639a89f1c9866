"""Reading the whitelist on the decision path: one probe by lookup, and the plan kept in memory.

Used by the decision thread alone, over its own connection.
"""

import contextlib
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edge.core.model import (
    Assignment,
    Checkpoint,
    Controller,
    Direction,
    Event,
    Plan,
    Ticket,
    TicketState,
    TicketType,
    Use,
)
from edge.store.database import NewerSchema, connect, remove, set_aside
from edge.store.records import instant_of

ENTITIES: dict[str, TypeAdapter[Any]] = {
    "event": TypeAdapter(Event),
    "ticket_type": TypeAdapter(TicketType),
    "checkpoint": TypeAdapter(Checkpoint),
    "controller": TypeAdapter(Controller),
    "assignment": TypeAdapter(Assignment),
}
"""How each kind of the plan is written to and read from its JSON body."""

_TICKETS = "SELECT id, event, type, state, valid_from, valid_until, holder, seat, source FROM ticket WHERE lookup = ?"
# An admission at a checkpoint that is no longer known counts for every event: better closed than wrong.
_USES = """
    SELECT at, direction, checkpoint, device, scan_id FROM admission WHERE ticket_id = ?
    AND ?2 = coalesce(
        (SELECT json_extract(body, '$.event') FROM entity WHERE kind = 'checkpoint' AND id = checkpoint), ?2
    )
    ORDER BY at
"""


def open_whitelist(path: Path, now: datetime) -> tuple[sqlite3.Connection, Path | None]:
    """Open `path`; a damaged one is set aside, under the name returned, and an empty one put in its place.

    Raises:
        sqlite3.OperationalError: the folder cannot be written, or the like; nothing was set aside.
    """
    moved: Path | None = None
    try:
        return connect(path, "whitelist"), None
    except NewerSchema:
        remove(path)  # disposable, and a step back to an older release must not stop the gate
    except sqlite3.DatabaseError as exc:
        if isinstance(exc, sqlite3.OperationalError):
            raise
        moved = set_aside(path, now)
    return connect(path, "whitelist"), moved


def load_plan(connection: sqlite3.Connection) -> Plan:
    """Read all that the CRM says but the tickets."""
    found: dict[str, dict[str, Any]] = {kind: {} for kind in ENTITIES}
    for kind, entity_id, body in connection.execute("SELECT kind, id, body FROM entity"):
        if kind in ENTITIES:
            found[kind][entity_id] = ENTITIES[kind].validate_json(body)
    return Plan(
        events=found["event"],
        ticket_types=found["ticket_type"],
        checkpoints=found["checkpoint"],
        controllers=found["controller"],
        assignments=tuple(found["assignment"].values()),
    )


class WhitelistReader:
    """The decision thread's view of `whitelist.db`.

    `plan` and `synced_at` follow what another connection commits, at the next `refresh`. A file found damaged while
    in use is set aside and an empty one takes its place, told through `on_damage`: the lane goes on, and says that it
    knows nothing. `connection`: one of the caller's own, to look without touching.
    """

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime],
        on_damage: Callable[[Path], None],
        connection: sqlite3.Connection | None = None,
    ) -> None:
        self._path = path
        self._now = now
        self._on_damage = on_damage
        self._only_looks = connection is not None
        self._connection: sqlite3.Connection | None = connection
        """None: what lies there now is opened when it is next asked."""
        self._stale, self._plan_version = True, ""
        self.plan = Plan()
        self.synced_at: datetime | None = None
        self.refresh()

    def mark_stale(self) -> None:
        """Say that another connection has committed; callable from any thread."""
        self._stale = True

    def refresh(self) -> None:
        """Take up what has been committed since; costs nothing when nothing has."""
        if not self._stale:
            return
        self._stale = False
        try:
            meta = dict(self._fetch("SELECT key, value FROM meta", ()))
            if meta.get("plan_version", "") != self._plan_version:
                self.plan = load_plan(self._opened())
            self.synced_at = instant_of(int(meta["synced_at"])) if "synced_at" in meta else None
        except ValueError:  # pydantic's errors are that, too
            self._set_damaged_aside()
        except sqlite3.Error:
            self._stale = True
            raise
        else:
            self._plan_version = meta.get("plan_version", "")

    def begin(self) -> None:
        """Read one state of the list until `end`: one lock for all that a batch of decisions asks."""
        self.refresh()
        if not self._opened().in_transaction:
            self._fetch("BEGIN", ())

    def end(self) -> None:
        """Let go of the state read since `begin`."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("COMMIT")

    def tickets(self, lookup: bytes) -> list[Ticket]:
        """Return what one code stands for: a row an event."""
        rows = self._fetch(_TICKETS, (lookup,))
        try:
            return [_ticket(row) for row in rows]
        except ValueError:  # a row that no release of ours can have written is damage, too
            self._set_damaged_aside()
            return []

    def uses(self, ticket_id: str, event: str) -> list[Use]:
        """Return a ticket's uses at other devices, oldest first."""
        rows = self._fetch(_USES, (ticket_id, event))
        try:
            return [Use(instant_of(at), Direction(way), point, device, scan) for at, way, point, device, scan in rows]
        except ValueError:
            self._set_damaged_aside()
            return []

    def flow(self, checkpoint: str) -> int:
        """Return entries less exits at a checkpoint, made at other devices."""
        rows = self._fetch("SELECT entries - exits FROM flow WHERE checkpoint = ?", (checkpoint,))
        return int(rows[0][0]) if rows else 0

    def _opened(self) -> sqlite3.Connection:
        """Return the connection, opened again where that failed before."""
        if self._connection is None:
            self._connection, moved = open_whitelist(self._path, self._now())
            if moved:
                self._on_damage(moved)
        return self._connection

    def replace(self, swap: Callable[[], None]) -> None:
        """Close, let `swap` put another file in place, and open that; called between transactions."""
        self.close()
        self._connection = None
        try:
            swap()
        finally:
            self._forget()
            with contextlib.suppress(sqlite3.OperationalError):  # whoever is judged next opens it, or is told why not
                self.refresh()

    def give_up(self) -> None:
        """Set the file aside, which another connection found damaged; called between transactions."""
        self._set_damaged_aside()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()

    def _forget(self) -> None:
        self._stale, self._plan_version = True, ""
        self.plan, self.synced_at = Plan(), None

    def _fetch(self, sql: str, parameters: tuple[object, ...]) -> list[Any]:
        """Read; go on with an empty list when the file turns out damaged, while a passing fault rises."""
        try:
            return self._opened().execute(sql, parameters).fetchall()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self._set_damaged_aside()
            return []

    def _set_damaged_aside(self) -> None:
        if self._only_looks:
            raise sqlite3.DatabaseError("the ticket list is damaged")
        self.close()
        self._connection = None
        moved = set_aside(self._path, self._now())
        self._forget()
        with contextlib.suppress(sqlite3.OperationalError):
            self._opened()
        self._on_damage(moved)


def _ticket(row: tuple[Any, ...]) -> Ticket:
    ticket_id, event, kind, state, valid_from, valid_until, holder, seat, source = row
    return Ticket(
        ticket_id,
        event,
        kind,
        TicketState(state),
        datetime.fromisoformat(valid_from) if valid_from else None,
        datetime.fromisoformat(valid_until) if valid_until else None,
        holder,
        seat,
        source,
    )
