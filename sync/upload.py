"""Scans out: journal rows in order, each kept until the CRM has it; and those parked that a person has sent again.

The event loop is the lanes', and so is the disk: what a batch needs is done in short parts while the one before it is
under way, and what the CRM has is written down once a second and not for each batch. After a power cut the last
second's batches are sent again, and the CRM drops what it has.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from edge.store.outbox import Parked, Reject, acked_seq, acknowledge, parked_scans, settle_retried
from edge.store.records import Scan
from edge.store.store import Store
from sync.backoff import CANNOT_WRITE, UNWELL_DELAY_S, Backoff
from sync.connector import Connector
from sync.errors import LinkDown, Refused, TokenRefused
from sync.host import Host, tell_conflicts
from sync.wire import MAX_SCANS, Rejected, ScansAnswer

log = logging.getLogger(__name__)

BATCH = MAX_SCANS
BATCH_BYTES = 1024 * 1024
NOTE_EVERY_S = 1.0
"""How often, while one batch follows the other, it is written down what the CRM has: each time costs a flush."""
PART = 50
"""Scans made ready in one go: a fraction of a millisecond, for which a lane may have to wait."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Scans that follow each other, and what is sent of them; `more` wait behind it."""

    scans: Sequence[Scan]
    bodies: Sequence[dict[str, Any]]
    more: bool


_NOTHING = _Batch((), (), more=False)


class Uploader:
    """Sends one store's scans to one CRM; `run` is a job."""

    def __init__(
        self,
        store: Store,
        connector: Connector,
        host: Host,
        now: Callable[[], datetime],
        *,
        token_refused: Callable[[TokenRefused], Awaitable[None]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`token_refused` is what follows when the CRM does not know this device."""
        self._store = store
        self._connector = connector
        self._host = host
        self._now = now
        self._token_refused = token_refused
        self._sleep = sleep
        self._none_new = asyncio.Event()
        """Set when no new scan waits: then it is the turn of those sent again."""
        self._owed = 0
        """The seq up to which the CRM has every row, where the journal does not say so yet; 0: it does."""
        self._rejects: list[Reject] = []
        """What the CRM would not take of that."""
        self._ahead = _NOTHING
        """What follows that, where it was read already."""
        self._noted_at = 0.0

    async def run(self) -> NoReturn:
        """Send scans as they come.

        Those sent again go beside them, so that where the CRM fails at one of them no new one waits for it.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send_again(), name="scans sent again")
            await self._keep_sending(self._send_new, self._wait_for_new)

    async def _keep_sending(
        self, send: Callable[[int], Awaitable[bool]], wait: Callable[[], Awaitable[None]]
    ) -> NoReturn:
        """Send batch after batch; wait where there is nothing to send, and longer each time that it fails."""
        backoff, most = Backoff(), BATCH
        while True:
            try:
                if not await send(most):
                    await wait()
                backoff.reset()
                # One that cannot take many at once must not be offered as many each time.
                most = min(BATCH, most * 2)
            except LinkDown as exc:
                # A batch that the CRM cannot take whole may be taken in smaller parts.
                most = max(1, most // 2)
                log.info("scans: %s", exc)
                await self._sleep(backoff.next(exc.retry_after_s))
            except CANNOT_WRITE as exc:
                log.warning("scans: what the CRM answered cannot be kept: %s; trying again", exc)
                await self._sleep(backoff.next())
            except TokenRefused as exc:
                await self._token_refused(exc)
                await self._sleep(UNWELL_DELAY_S)

    # --- new scans --------------------------------------------------------------------------------------------------

    async def _wait_for_new(self) -> None:
        self._none_new.set()
        await self._store.recorded.wait()

    async def _send_new(self, most: int) -> bool:
        """Send one batch; False: there was nothing to send."""
        self._store.recorded.clear()
        if self._rejects or asyncio.get_running_loop().time() - self._noted_at >= NOTE_EVERY_S:
            await self._note()
        batch, self._ahead = self._ahead, _NOTHING
        if not batch.scans:
            batch = await self._read_after(self._owed or await self._store.read(lambda tx: acked_seq(tx.journal)), most)
        if not batch.scans:
            await self._note()
            return False
        try:
            await self._hand_over(batch, most)
        except (LinkDown, TokenRefused):
            await self._note()
            raise
        return True

    async def _read_after(self, seq: int, most: int) -> _Batch:
        """Read the rows after `seq` and make them ready, part by part."""
        found = await self._store.scans_after(seq, most)
        scans, bodies = _cut(found), list[dict[str, Any]]()
        for first in range(0, len(scans), PART):
            bodies += [scan.wire() for scan in scans[first : first + PART]]
            await asyncio.sleep(0)
        return _Batch(scans, bodies, more=len(found) == most or len(scans) < len(found))

    async def _hand_over(self, batch: _Batch, most: int) -> None:
        """Send a batch, and take in what the CRM says of it."""
        scans, ahead = batch.scans, _NOTHING
        try:
            answer, ahead = await self._send_and_read_on(batch, most)
        except Refused as exc:
            if len(scans) > 1:
                raise
            # It is this very scan that the CRM will not have, in whatever words.
            answer = ScansAnswer(acked=scans[0].seq, rejected=[_rejected(scans[0], exc)])
        taken = _taken(scans, answer.acked)
        if not taken:
            raise LinkDown(f"/scans: the CRM acknowledged {answer.acked}, before seq {scans[0].seq}; sending again")
        await self._hear(answer)
        # Only now, with all that was said of this batch in hand: what is read ahead must not take its place.
        self._owed, self._ahead = taken, ahead if taken == scans[-1].seq else _NOTHING
        self._rejects += _rejects(answer)

    async def _send_and_read_on(self, batch: _Batch, most: int) -> tuple[ScansAnswer, _Batch]:
        """Send a batch; meanwhile, if there are more, make the next one ready."""
        failed: LinkDown | TokenRefused | None = None
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read_on(batch, most), name="the next scans")
            try:
                answer = await self._send(batch.bodies)
            except (LinkDown, TokenRefused) as exc:
                failed = exc
        if failed is not None:
            raise failed
        return answer, reading.result()

    async def _read_on(self, batch: _Batch, most: int) -> _Batch:
        """Read what follows a batch; nothing, if it cannot be read: whoever then has to read it is told why."""
        try:
            return await self._read_after(batch.scans[-1].seq, most) if batch.more else _NOTHING
        except CANNOT_WRITE:
            return _NOTHING

    async def _note(self) -> None:
        """Write down what the CRM has, if the journal does not say so yet."""
        if not self._owed:
            return
        owed, rejects, now = self._owed, tuple(self._rejects), self._now()
        await self._store.write(lambda tx: acknowledge(tx, owed, rejects, now), refusable=False)
        self._owed, self._rejects = 0, []
        self._noted_at = asyncio.get_running_loop().time()
        self._host.changed()

    # --- scans sent again -------------------------------------------------------------------------------------------

    async def _send_again(self) -> NoReturn:
        await self._none_new.wait()
        await self._keep_sending(self._send_parked, self._wait_for_turn)

    async def _wait_for_turn(self) -> None:
        await self._none_new.wait()

    async def _send_parked(self, most: int) -> bool:
        """Send parked scans for which a person has asked; False: there are none."""
        self._none_new.clear()
        parked = await self._store.read(lambda tx: parked_scans(tx.journal, to_retry=True, most=most))
        if not parked:
            return False
        try:
            answer = await self._send([each.body for each in parked])
        except Refused as exc:
            if len(parked) > 1:
                raise
            answer = ScansAnswer(acked=0, rejected=[_rejected(parked[0], exc)])
        await self._hear(answer)
        rejects, sent = _rejects(answer), [each.scan_id for each in parked]
        await self._store.write(lambda tx: settle_retried(tx, sent, rejects, self._now()), refusable=False)
        self._host.changed()
        return True

    # --- both -------------------------------------------------------------------------------------------------------

    async def _send(self, bodies: Sequence[dict[str, Any]]) -> ScansAnswer:
        identity = self._store.identity
        assert identity is not None, "scans are sent by an enrolled box"  # noqa: S101
        return await self._connector.send_scans(identity.device_id, bodies)

    async def _hear(self, answer: ScansAnswer) -> None:
        """Keep conflicts before the scans count as sent: sent again they would have the same answer."""
        for reject in answer.rejected:
            log.warning("scans: the CRM refused %s: %s: %s", reject.scan_id, reject.code, reject.message)
        await tell_conflicts(self._store, self._host, answer.conflicts, self._now())


def _cut(scans: Sequence[Scan]) -> Sequence[Scan]:
    """Cut a batch where it grows long: a code may have 4,096 characters, a note 1,000."""
    size = 0
    for count, scan in enumerate(scans):
        size += 600 + 4 * (len(scan.code or "") + len(scan.note or ""))
        if size > BATCH_BYTES and count:
            return scans[:count]
    return scans


def _rejects(answer: ScansAnswer) -> list[Reject]:
    return [Reject(each.scan_id, each.code[:100], each.message[:1000]) for each in answer.rejected]


def _rejected(scan: Scan | Parked, exc: Refused) -> Rejected:
    return Rejected(scan_id=scan.scan_id, code=f"http_{exc.status}", message=str(exc))


def _taken(scans: Sequence[Scan], acked: int) -> int:
    """Return the highest seq of ours that the CRM says it has; it cannot have more than was sent."""
    return max((scan.seq for scan in scans if scan.seq <= acked), default=0)
