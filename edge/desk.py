"""What to do with a read that is no ticket: a controller's badge, or an enrolment code."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from edge.core.enrolment import EnrolmentCode
from edge.core.model import Controller
from edge.core.notices import Notice
from edge.enrolling import CrmLink
from edge.gate import BadgeRead, EnrolmentRead, Lane, NotATicket
from edge.judging import NotAllowed
from edge.people import People
from edge.store.store import Store
from edge.store.writer import CannotRecord
from sync.errors import EnrolmentRefused, LinkDown

Said = dict[str, Any]


KEPT_ANSWERS = 64


class Desk:
    """Opens and closes shifts by badge, and enrols the box; says at the lane what came of it."""

    def __init__(
        self, store: Store, people: People, link: CrmLink, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._people = people
        self._link = link
        self._monotonic = monotonic
        self._seen: dict[tuple[str, str], tuple[float, Notice]] = {}
        """When each badge was last before a lane's readers, and what came of it."""
        self._answers: dict[str, Said] = {}
        """By the scan's id, where the caller gave one; the oldest first."""
        self._one_at_a_time = asyncio.Lock()

    async def take(self, lane: Lane, what: NotATicket, scan_id: str | None = None) -> Said:
        """Do what the read asks for; return what was said of it at the lane.

        Whoever names the scan, and sends it again for want of an answer, gets the same answer and nothing is done.

        Raises:
            CannotRecord: the journal cannot be written.
        """
        if scan_id is not None and scan_id in self._answers:
            return self._answers[scan_id]
        match what:
            case BadgeRead(controller=controller):
                said = await self._badge(lane, controller)
            case EnrolmentRead(asked=asked):
                said = await self._enrol(lane, asked)
            case _:
                raise AssertionError(f"nobody knows what to do with {what!r}")
        if scan_id is not None:
            self._answers[scan_id] = said
            if len(self._answers) > KEPT_ANSWERS:
                del self._answers[next(iter(self._answers))]
        return said

    async def _badge(self, lane: Lane, who: Controller) -> Said:
        """Open or close a shift, once however often the badge is read until it has been away for a while."""
        # One at a time: two readers that see a badge at once would else each toggle.
        async with self._one_at_a_time:
            now, key = self._monotonic(), (lane.id, who.id)
            seen_at, notice = self._seen.get(key, (float("-inf"), Notice.NOT_ASSIGNED))
            if now - seen_at >= lane.settings.repeat_s:
                try:
                    notice = await self._toggle(lane, who)
                except CannotRecord as exc:
                    lane.set_cannot_record(str(exc))
                    raise
                if notice is not Notice.NOT_ASSIGNED:  # then the disk took a row
                    lane.set_cannot_record(None)
            self._seen[key] = now, notice
        return lane.notice(notice, name=who.name)

    async def _toggle(self, lane: Lane, who: Controller) -> Notice:
        here = await self._store.read(lambda tx: tx.checkpoint_of(lane.id, lane.settings.checkpoint))
        if here is not None and here.controllers is not None and who.id not in here.controllers:
            return Notice.NOT_ASSIGNED
        if who.id in {each.id for each in await self._people.on_shift(lane.id)}:
            await self._people.sign_out(lane.id)
            return Notice.SHIFT_CLOSED
        await self._people.sign_in(lane.id, who)
        return Notice.SHIFT_OPENED

    async def _enrol(self, lane: Lane, asked: EnrolmentCode) -> Said:
        if self._link.credentials is not None and not self._link.credentials.own:
            return lane.notice(Notice.ALREADY_ENROLLED, organiser=self._link.credentials.organiser)
        lane.notice(Notice.ENROLLING, organiser=asked.url)
        try:
            credentials = await self._link.enrol(asked)
        except (NotAllowed, EnrolmentRefused, LinkDown) as exc:
            return lane.notice(Notice.NOT_ENROLLED, why=str(exc))
        except OSError as exc:
            return lane.notice(Notice.NOT_ENROLLED, why=f"device.data_path: {exc.strerror}; give it to the gate's user")
        return lane.notice(Notice.ENROLLED, organiser=credentials.organiser, name=credentials.name)
