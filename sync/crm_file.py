"""The connector of a gate without a CRM: barcode files in, scans out as CSV files.

A changed file is a whole new list, never a delta: the gate builds it beside the one in use, and holds it back where it
is suspiciously short (docs/adr/0018).
"""

import asyncio
import hashlib
import json
import logging
import math
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sync.connector import Feed
from sync.errors import BadFeed, LinkDown
from sync.file_job import Cursor, FileJob, FileReport, ListedEvent, ListedFile
from sync.file_plan import FilePlan, Owner, load_plan
from sync.file_reader import reading
from sync.file_source import Seen, SeenFile, Source
from sync.instants import write_instant
from sync.scan_files import ScanFiles
from sync.wire import FingerprintsAnswer, HeartbeatAnswer, ScansAnswer

log = logging.getLogger(__name__)

FORMAT = 1
"""Of the feed that is made of a file; another number has every gate read its files anew."""
Tell = Callable[[str | None], None]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found in files that were seen: their digest, or why nothing can be made of them."""

    seen: Seen
    digest: str = ""
    why: str | None = None


class FileCrm:
    """Reads barcode files and writes scans; nobody else has a word in it."""

    def __init__(
        self,
        source: Source,
        scans: ScanFiles,
        owner: Owner,
        now: Callable[[], datetime],
        *,
        skip_bad: bool = False,
        tell: Tell = lambda _: None,
    ) -> None:
        """`tell` gets what a person may want to know of the list that is read; None: nothing."""
        self._source = source
        self._scans = scans
        self._owner = owner
        self._now = now
        self._skip_bad = skip_bad
        self._tell = tell
        self._plan: tuple[SeenFile | None, FilePlan] | None = None
        self._known: _Known | None = None

    async def close(self) -> None:
        """Close what the source holds open."""
        await self._source.close()

    @asynccontextmanager
    async def changes(self, since: str | None, wait_s: int) -> AsyncIterator[Feed]:
        """Open the change feed; see `Connector.changes`. Whatever has changed, it is everything."""
        loop = asyncio.get_running_loop()
        began, cursor = loop.time(), Cursor.parse(since)
        while True:
            seen = await self._source.look()
            known = self._known if self._known is not None and self._known.seen == seen else None
            if known is not None and known.why is not None:
                raise self._refusal(known)
            if known is None or cursor is None or cursor.digest != known.digest or cursor.row is not None:
                async with self._read(seen, since) as (report, chunks):
                    if not report.same:
                        yield Feed(chunks)
                        return
            elif not await self._source.changed(seen, began + wait_s - loop.time()):
                yield Feed(self._nothing_new(cursor, told=self._source.looked_at >= began))
                return

    async def look_over(self) -> FileReport:
        """Read the files as they are now, for a person who wants to know whether they are good.

        Raises:
            LinkDown: they are not, or cannot be read.
        """
        async with self._read(await self._source.look(), None, dry=True) as (report, _):
            return report

    async def fingerprints(self, prefix: str) -> FingerprintsAnswer | None:
        """Offer no ranges: whatever differs is read anew."""
        del prefix
        return None

    @asynccontextmanager
    async def tickets(self, prefix: str) -> AsyncIterator[Feed]:
        """Offer no ranges; see `fingerprints`."""
        raise BadFeed(f"barcode files offer no ranges of tickets (asked for {prefix})")
        yield  # which makes this a context manager

    async def send_scans(self, device_id: str, scans: Sequence[dict[str, Any]]) -> ScansAnswer:
        """Write scans out; see `Connector.send_scans`."""
        del device_id
        await asyncio.to_thread(self._scans.write, scans, await self._zone())
        return ScansAnswer(acked=max((scan["seq"] for scan in scans), default=0))

    async def heartbeat(self, health: dict[str, Any]) -> tuple[HeartbeatAnswer, float] | None:
        """Tell no time: this box's own clock must not vouch for itself."""
        del health
        return None

    async def _zone(self) -> ZoneInfo:
        """Return the zone by whose days scans are filed: the plan's, or the box's while no plan can be read."""
        if self._plan is None:
            with suppress(LinkDown):
                await self._plan_of(await self._source.look())
        return self._plan[1].zone if self._plan is not None else ZoneInfo(self._owner.tz)

    # --- reading ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _read(
        self, seen: Seen, since: str | None, *, dry: bool = False
    ) -> AsyncIterator[tuple[FileReport, AsyncIterator[bytes]]]:
        """Have files read; what is lastingly wrong with them is remembered, until they are others."""
        try:
            job = self._job(seen, await self._plan_of(seen), since, dry=dry)
        except BadFeed as exc:
            self._known = _Known(seen, why=str(exc))
            raise self._refusal(self._known) from exc
        async with reading(job) as (report, chunks):
            if report.why is not None and report.lasting:
                self._known = _Known(seen, why=report.why)
                raise self._refusal(self._known)
            if report.why is not None:
                raise LinkDown(report.why)
            self._known = _Known(seen, report.digest)
            if not report.same:
                self._tell(_note(report))
            yield report, chunks

    async def _plan_of(self, seen: Seen) -> FilePlan:
        if self._plan is None or self._plan[0] != seen.plan:
            path = seen.plan.path if seen.plan else None
            self._plan = seen.plan, await asyncio.to_thread(load_plan, path, self._owner)
        return self._plan[1]

    def _job(self, seen: Seen, plan: FilePlan, since: str | None, *, dry: bool) -> FileJob:
        salt = hashlib.blake2b(plan.digest, digest_size=16)
        salt.update(json.dumps([FORMAT, self._skip_bad]).encode())
        return FileJob(
            key=self._owner.key,
            salt=salt.digest(),
            at=write_instant(self._now()),
            plan=list(plan.lines),
            events=[ListedEvent(each.id, each.tz, each.types, each.prefix) for each in plan.events],
            files=[_listed(each, plan) for each in seen.files],
            since=since,
            skip_bad=self._skip_bad,
            dry=dry,
        )

    def _refusal(self, known: _Known) -> BadFeed:
        return BadFeed(known.why or "", again=partial(self._until_other, known.seen))

    async def _until_other(self, seen: Seen) -> None:
        with suppress(LinkDown):
            await self._source.changed(seen, math.inf)

    async def _nothing_new(self, cursor: Cursor, *, told: bool) -> AsyncIterator[bytes]:
        """Say that the list stands, unless nobody has looked: that must not pass for news."""
        if told:
            line = {"kind": "cursor", "cursor": cursor.write(), "at": write_instant(self._now())}
            yield json.dumps(line | {"tickets": cursor.tickets, "fingerprint": cursor.fingerprint}).encode() + b"\n"


def _listed(file: SeenFile, plan: FilePlan) -> ListedFile:
    events = [each.id for each in plan.events if each.takes(file.name)]
    if not events:
        raise BadFeed(f"{file.name}: no event of the plan takes it; name it in the files of one")
    return ListedFile(os.fsencode(file.path), file.name, Path(file.name).stem, events, file.size, file.mtime_ns)


def _note(report: FileReport) -> str | None:
    """Say what a person may want to know of a list that is good enough to be used."""
    notes = []
    if report.doubles:
        notes.append(f"codes in more than one file: {report.doubles}; the later file by name counts")
    if report.bad:
        notes.append(f"rows left out: {report.bad} of {report.rows}: {'; '.join(report.problems)}")
    if not notes:
        return None
    log.warning("files: %s", ". ".join(notes))
    return ". ".join(notes)
