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
from functools import partial
from typing import Any, NoReturn, TypeVar

from edge.store.outbox import Parked, Reject, acked_seq, acknowledge, parked_scans, settle_retried
from edge.store.records import Scan
from edge.store.store import Store
from sync.backoff import CANNOT_WRITE, UNWELL_DELAY_S, Backoff
from sync.connector import Connector
from sync.errors import LinkDown, Refused, TokenRefused
from sync.host import Host, tell_conflicts
from sync.portion import Portion
from sync.wire import MAX_SCANS, Rejected, ScansAnswer

log = logging.getLogger(__name__)

BATCH = MAX_SCANS
BATCH_BYTES = 1024 * 1024
NOTE_EVERY_S = 1.0
"""How often, while one batch follows the other, it is written down what the CRM has: each time costs a flush."""
PART = 50
"""Scans made ready, or parked, in one go: a fraction of a millisecond, for which a lane may have to wait."""
Sent = TypeVar("Sent", Scan, Parked)


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
        self._rejects: list[tuple[int, Reject]] = []
        """What the CRM would not take of that, by seq."""
        self._ahead = _NOTHING
        """What follows that, where it was read already."""
        self._noted_at = 0.0
        self._after = 0
        """The parked scan that went by itself last: where the CRM fails at it, those behind it come first."""

    async def run(self) -> NoReturn:
        """Send scans as they come.

        Those sent again go beside them, so that where the CRM fails at one of them no new one waits for it.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send_again(), name="scans sent again")
            await self._keep_sending(self._send_new, self._wait_for_new)

    async def _keep_sending(
        self, send: Callable[[Portion], Awaitable[bool]], wait: Callable[[], Awaitable[object]]
    ) -> NoReturn:
        """Send batch after batch; wait where there is nothing to send, and longer each time that it fails."""
        backoff, portion = Backoff(), Portion(BATCH)
        while True:
            try:
                if not await send(portion):
                    await wait()
                elif portion.refused_alone > 1:
                    # It may refuse whatever is sent, and the whole journal must not be parked in a minute.
                    await self._sleep(Backoff().next())
                backoff.reset()
            except Refused as exc:
                # It is there and has answered: the other scans need not wait until the one is found.
                portion.refused()
                log.info("scans: %s; sending fewer at once", exc)
                if exc.retry_after_s:
                    await self._sleep(backoff.next(exc.retry_after_s))
            except LinkDown as exc:
                portion.failed()
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

    async def _send_new(self, portion: Portion) -> bool:
        """Send one batch; False: there was nothing to send."""
        self._store.recorded.clear()
        if self._rejects or asyncio.get_running_loop().time() - self._noted_at >= NOTE_EVERY_S:
            await self._note()
        batch, self._ahead = self._ahead, _NOTHING
        if not 0 < len(batch.scans) <= portion.most:
            has = self._owed or await self._store.read(lambda tx: acked_seq(tx.journal))
            batch = await self._read_after(has, portion.most)
        if not batch.scans:
            await self._note()
            return False
        try:
            await self._hand_over(batch, portion)
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

    async def _hand_over(self, batch: _Batch, portion: Portion) -> None:
        """Send a batch, and take in what the CRM says of it."""
        scans, ahead, refused = batch.scans, _NOTHING, False
        portion.offered(len(scans))
        try:
            answer, ahead = await self._send_and_read_on(batch, portion.most)
        except Refused as exc:
            answer, refused = _refused(scans, exc), True
        settled, rejects = await self._hear(answer, scans)
        # Only now, with all that was said of this batch in hand: what is read ahead must not take its place.
        self._owed, self._ahead = settled[-1].seq, ahead if len(settled) == len(scans) else _NOTHING
        self._rejects += [(each.seq, rejects[each.scan_id]) for each in settled if each.scan_id in rejects]
        portion.settled(len(settled), refused=refused)

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
        """Write down what the CRM has, if the journal does not say so yet, and first what it would not take of that."""
        if not self._owed:
            return
        while self._rejects:
            part = self._rejects[:PART]
            await self._acknowledge(part[-1][0], [reject for _, reject in part])
            del self._rejects[:PART]
        await self._acknowledge(self._owed)
        self._owed = 0
        self._noted_at = asyncio.get_running_loop().time()
        self._host.changed()

    async def _acknowledge(self, seq: int, rejects: Sequence[Reject] = ()) -> None:
        now = self._now()
        await self._store.write(lambda tx: acknowledge(tx, seq, rejects, now), refusable=False)

    # --- scans sent again -------------------------------------------------------------------------------------------

    async def _send_again(self) -> NoReturn:
        await self._none_new.wait()
        await self._keep_sending(self._send_parked, self._none_new.wait)

    async def _send_parked(self, portion: Portion) -> bool:
        """Send parked scans for which a person has asked; False: there are none."""
        self._none_new.clear()
        parked = await self._to_retry(portion.most)
        if not parked:
            return False
        if len(parked) == 1:
            self._after = parked[0].seq
        portion.offered(len(parked))
        refused = False
        try:
            answer = await self._send([each.body for each in parked])
        except Refused as exc:
            answer, refused = _refused(parked, exc), True
        settled, rejects = await self._hear(answer, parked)
        for first in range(0, len(settled), PART):
            part, now = settled[first : first + PART], self._now()
            await self._store.write(
                partial(settle_retried, sent=part, rejects=list(rejects.values()), now=now), refusable=False
            )
        portion.settled(len(settled), refused=refused)
        self._host.changed()
        return True

    async def _to_retry(self, most: int) -> list[Parked]:
        """Read what comes behind the one that went by itself, and at the end begin again."""
        found = await self._store.read(lambda tx: parked_scans(tx.journal, to_retry=True, after=self._after, most=most))
        if found or not self._after:
            return found
        self._after = 0
        return await self._to_retry(most)

    # --- both -------------------------------------------------------------------------------------------------------

    async def _send(self, bodies: Sequence[dict[str, Any]]) -> ScansAnswer:
        identity = self._store.identity
        assert identity is not None, "scans are sent by an enrolled box"  # noqa: S101
        return await self._connector.send_scans(identity.device_id, bodies)

    async def _hear(self, answer: ScansAnswer, sent: Sequence[Sent]) -> tuple[Sequence[Sent], dict[str, Reject]]:
        """Return which of these scans need not be sent again, and those of them that the CRM would not take, by id.

        Conflicts are kept before that: the scans sent again would have the same answer.
        """
        settled = [each for each in sent if each.seq <= answer.acked]  # it cannot have more than was sent
        if not settled:
            raise LinkDown(f"/scans: the CRM acknowledged {answer.acked}, before seq {sent[0].seq}; sending again")
        rejects = _rejects(answer, settled)
        if rejects:
            first = next(iter(rejects.values()))
            log.warning("scans: the CRM refused %d; %s: %s: %s", len(rejects), first.scan_id, first.code, first.message)
        await tell_conflicts(self._store, self._host, answer.conflicts, self._now())
        return settled, rejects


def _cut(scans: Sequence[Scan]) -> Sequence[Scan]:
    """Cut a batch where it grows long: a code may have 4,096 characters, a note 1,000."""
    size = 0
    for count, scan in enumerate(scans):
        size += 600 + 4 * (len(scan.code or "") + len(scan.note or ""))
        if size > BATCH_BYTES and count:
            return scans[:count]
    return scans


def _rejects(answer: ScansAnswer, settled: Sequence[Scan | Parked]) -> dict[str, Reject]:
    """Return what is said of these scans, once of each: an answer may name others, and very many."""
    ours = {each.scan_id for each in settled}
    found: dict[str, Reject] = {}
    for each in answer.rejected:
        if each.scan_id in ours and each.scan_id not in found:
            found[each.scan_id] = Reject(each.scan_id, each.code[:100], each.message[:1000])
    return found


def _refused(sent: Sequence[Scan | Parked], exc: Refused) -> ScansAnswer:
    """Say of one scan that it is the one which the CRM will not have, in whatever words; of several nobody knows."""
    if len(sent) > 1:
        raise exc
    (scan,) = sent
    reject = Rejected(scan_id=scan.scan_id, code=f"http_{exc.status}", message=str(exc))
    return ScansAnswer(acked=scan.seq, rejected=[reject])
