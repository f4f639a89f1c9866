"""The CRM under test, and what the checks have learnt of it so far."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from crm.conformance.client import Answer, Client
from crm.conformance.errors import Skipped
from crm.conformance.gate import Box, Gate
from crm.conformance.reading import Reading
from crm.conformance.rows import Journal
from sync.wire import ScansAnswer


def system_clock() -> datetime:
    """Tell the time of this machine, aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Options:
    """What the maker of the CRM gives, and allows.

    `code` and `other_code` enrol a device and a second one; left out, there is none to enrol. `known_code` is the code
    of a ticket on the list. `admit` allows an admission of a ticket, `ticket` names its id (None: any valid one).
    `ask` tells a person what to change in the CRM while the suite waits `change_s` seconds for it; None: nobody is
    asked. `wait_s` is asked for as `wait`, and may be outrun by `grace_s`.
    """

    code: str | None = None
    other_code: str | None = None
    known_code: str | None = None
    admit: bool = False
    ticket: str | None = None
    ask: Callable[[str], Awaitable[None]] | None = None
    wait_s: float = 3
    grace_s: float = 5
    change_s: float = 60


@dataclass(slots=True)
class Admission:
    """The admission that the suite made: its row, and how far the CRM has shown that it knows of it."""

    row: dict[str, Any]
    told: bool = False
    listed: bool = False
    released: bool = False


@dataclass(slots=True)
class Subject:
    """What all checks share; each check leaves here what later ones need, and those skip where it is not."""

    client: Client
    options: Options = Options()
    clock: Callable[[], datetime] = system_clock
    monotonic: Callable[[], float] = time.monotonic
    me: Gate | None = None
    other: Gate | None = None
    journal: Journal | None = None
    enrolled: Answer | None = None
    snapshot: Reading | None = None
    packed: Reading | None = None
    since: list[Reading] = field(default_factory=list)
    resumed: list[Reading] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    sent_answer: ScansAnswer | None = None
    waited_s: list[float | None] = field(default_factory=list)
    admission: Admission | None = None

    def follow(self, box: Box) -> Gate:
        """Return a device that begins to follow the feed; every answer to its cursors is kept in `since`."""
        return Gate(self.client, box, self.since)

    def need_me(self) -> Gate:
        """Return the device that the suite plays.

        Raises:
            Skipped: there is none.
        """
        if self.me is None:
            raise Skipped("there is no enrolled device: see enrol-answer")
        return self.me

    def need_other(self) -> Gate:
        """Return the second device that the suite plays.

        Raises:
            Skipped: there is none.
        """
        if self.other is None:
            raise Skipped("needs a second device: give an enrolment code for it with --other")
        return self.other

    def need_journal(self) -> Journal:
        """Return the journal of the device that the suite plays.

        Raises:
            Skipped: there is no device.
        """
        self.need_me()
        if self.journal is None:
            raise Skipped("there is no enrolled device: see enrol-answer")
        return self.journal

    def need_snapshot(self) -> Reading:
        """Return what the answer without a cursor was.

        Raises:
            Skipped: there was none.
        """
        self.need_me()
        if self.snapshot is None:
            raise Skipped("there is no snapshot to look at: see snapshot-answer")
        return self.snapshot

    def need_tickets(self) -> Gate:
        """Return the device that the suite plays, with the list that it holds.

        Raises:
            Skipped: nothing is on the list, or not all of it could be read.
        """
        me = self.need_me()
        self.need_snapshot()
        if me.held.holes:
            raise Skipped("lines of the feed cannot be read: see snapshot-lines and snapshot-fields")
        if not me.held.tickets:
            raise Skipped("no ticket is on the list: put some there")
        return me
