"""The list that a gate would hold: what the lines of a feed come to. Pure."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edge.core.barcodes import parse_lookup
from edge.core.fingerprint import Fingerprint, row_digest
from sync.wire import assignment_id

_EXAMPLES = 3


class Ticket(NamedTuple):
    """A row of the list, as far as it is compared; `digest` is its part of the fingerprint."""

    digest: int
    id: str
    type: str
    state: str


@dataclass(slots=True)
class HeldList:
    """Applies lines whose fields have been found right.

    `tickets` by event and lookup, `things` by kind and id, `admissions` by scan_id. `replaced` has examples of lookups
    that came twice within one event, for tickets of different ids, since the last reset; `holes` counts the lines since
    then that could not be applied, so that with any the sums say nothing.
    """

    tickets: dict[tuple[str, str], Ticket] = field(default_factory=dict)
    things: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    admissions: dict[str, list[Any]] = field(default_factory=dict)
    total: Fingerprint = field(default_factory=Fingerprint)
    replaced: list[str] = field(default_factory=list)
    holes: int = 0

    def apply(self, line: dict[str, Any]) -> None:
        """Apply one line; a cursor and what is not of the list change nothing."""
        match line["kind"]:
            case "reset":
                self.clear()
            case "tickets":
                self._tickets(line["event"], line["rows"])
            case "admissions":
                self.admissions |= {row[0]: row for row in line["rows"]}
            case "delete":
                self._delete(line["of"], line["ids"])
            case "assignment":
                self.things["assignment", assignment_id(line["device"], line.get("lane"))] = line
            case "event" | "ticket_type" | "checkpoint" | "controller" as kind:
                self.things[kind, line["id"]] = line

    def clear(self) -> None:
        """Forget everything."""
        self.tickets, self.things, self.admissions = {}, {}, {}
        self.total, self.replaced, self.holes = Fingerprint(), [], 0

    def _tickets(self, event: str, rows: list[list[Any]]) -> None:
        event = sys.intern(event)
        for lookup, ticket_id, type_, state, valid_from, valid_until, *_ in rows:
            old = self.tickets.get((event, lookup))
            digest = row_digest(lookup, ticket_id, type_, state, valid_from, valid_until)
            # Types and states are few: kept once each, a million rows take some 400 MB.
            self.tickets[event, lookup] = Ticket(digest, ticket_id, sys.intern(type_), sys.intern(state))
            self.total = self.total.plus(digest)
            if old is not None:
                self.total = self.total.minus(old.digest)
                if old.id != ticket_id and len(self.replaced) < _EXAMPLES:
                    self.replaced.append(f"{lookup} at {event}: {old.id}, then {ticket_id}")

    def _delete(self, of: str, ids: list[str]) -> None:
        if of == "tickets":
            gone = set(ids)
            for key in [key for key, ticket in self.tickets.items() if ticket.id in gone]:
                self.total = self.total.minus(self.tickets.pop(key).digest)
        for each in ids:
            if of == "admissions":
                self.admissions.pop(each, None)
            else:
                self.things.pop((of, each), None)

    def of_range(self, prefix: str) -> dict[tuple[str, str], int]:
        """Return the digests of the tickets whose lookup, in lower-case hex, begins with `prefix`."""
        return {
            key: ticket.digest
            for key, ticket in self.tickets.items()
            if not prefix or parse_lookup(key[1]).hex().startswith(prefix)
        }

    def sum_of(self, prefix: str) -> Fingerprint:
        """Return count and fingerprint of the tickets whose lookup, in lower-case hex, begins with `prefix`."""
        return Fingerprint.of_digests(list(self.of_range(prefix).values())) if prefix else self.total

    def dangling(self) -> Iterator[str]:
        """Tell what is named and not there: events, ticket types, checkpoints and controllers."""
        named: set[tuple[str, str, str]] = set()
        for (kind, name), thing in self.things.items():
            by = f"{kind} {name}"
            if kind in {"ticket_type", "checkpoint"}:
                named.add(("event", thing["event"], by))
            if kind == "assignment":
                named.add(("checkpoint", thing["checkpoint"], by))
            if kind == "checkpoint":
                named |= {("ticket_type", each, by) for each in thing.get("ticket_types") or ()}
                named |= {("controller", each, by) for each in thing.get("controllers") or ()}
        for event, type_ in {(event, ticket.type) for (event, _), ticket in self.tickets.items()}:
            named |= {("event", event, "tickets"), ("ticket_type", type_, f"tickets of {event}")}
        for kind, name, by in sorted(named):
            if (kind, name) not in self.things:
                yield f"{by}: no {kind} {name}"


def difference(left: HeldList, right: HeldList) -> str | None:
    """Tell the first thing in which two lists differ; None: they are the same."""
    if left.total != right.total:
        sums = " and ".join(f"{each.count} tickets, {each.hex()}" for each in (left.total, right.total))
        return f"the lists differ: {sums}"
    for what in ("things", "admissions"):
        ours, theirs = getattr(left, what), getattr(right, what)
        if ours != theirs:
            odd = [key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)]
            return f"{len(odd)} {what} differ, such as {min(odd)}"
    return None
