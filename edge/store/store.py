"""The gate's two databases as one thing: opened, written, read, swapped and closed here."""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import aiosqlite

from edge.core.admission import NOT_A_VERDICT
from edge.store.belonging import OTHER_DEVICE, OTHER_KEY, Owner, Whose, note_key
from edge.store.database import NewerSchema, connect_read_only, is_damage, remove, sidecars, sync_folder
from edge.store.keeping import Salvage, archive_sent, open_journal, suspect_path
from edge.store.pictures import Pictures
from edge.store.records import SELECT_SCAN, SELECT_SETTLED, Scan, instant_of, scan_of
from edge.store.tx import Identity, Tx
from edge.store.whitelist_reader import WhitelistReader
from edge.store.whitelist_writer import WhitelistSession, whitelist_session
from edge.store.writer import CannotRecord, Writer

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DataState:
    """Which ticket list the gate decides by. `held` says why a newer one waits for a person, if one does.

    `disowned` says why the list that was here is pulled anew, and whether it is used until then.
    """

    cursor: str | None = None
    tickets: int = 0
    fingerprint: str = "0" * 32
    synced_at: datetime | None = None
    held: str | None = None
    disowned: str | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the CRM has not yet got: `unsent` rows, the oldest of them at `oldest_at`, and `parked` rejects."""

    head_seq: int
    acked_seq: int
    oldest_at: str | None
    parked: int
    conflicts: int

    @property
    def unsent(self) -> int:
        """Rows that wait for the CRM."""
        return max(0, self.head_seq - self.acked_seq)


class Store:
    """`whitelist.db` and `journal.db` in one folder.

    `write` is the only way to change the journal. `session` is the only way to change the whitelist; `promote` puts
    a list that was built beside it in its place.
    """

    def __init__(
        self,
        folder: Path,
        writer: Writer,
        tx: Tx,
        journal: aiosqlite.Connection,
        pictures: Pictures,
        now: Callable[[], datetime],
    ) -> None:
        self._folder = folder
        self._now = now
        self.pictures = pictures
        self._writer = writer
        self._tx = tx
        self._journal = journal
        self.data = DataState()
        self.salvage: Salvage | None = None
        self.damaged_whitelist: Path | None = None
        self.whitelist_damaged = asyncio.Event()
        """Set when the list in use turned out damaged, was set aside and must be pulled again."""
        self.recorded = asyncio.Event()
        """Set by each journal row: there is something to send."""

    @property
    def whitelist_path(self) -> Path:
        """The list in use."""
        return self._folder / "whitelist.db"

    @property
    def building_path(self) -> Path:
        """The list that is being built beside it."""
        return self._folder / "whitelist.building.db"

    @property
    def journal_path(self) -> Path:
        """The journal."""
        return self._folder / "journal.db"

    @property
    def archive_path(self) -> Path:
        """The folder of archived rows."""
        return self._folder / "archive"

    @property
    def identity(self) -> Identity | None:
        """Who this box is to the CRM."""
        return self._tx.identity

    @property
    def owner(self) -> Owner:
        """Whose lists are made here, which each keeps with its cursor."""
        return _owner_of(self._tx.identity)

    async def enrol(self, identity: Identity) -> None:
        """Take up an identity while running; a list that is not its own is given up first.

        Whatever is wrong with the list, the identity is taken up: the code that gave it is spent.
        """
        try:
            await self.own_list(_owner_of(identity))
        except (sqlite3.Error, NewerSchema, OSError) as exc:
            log.warning("whose the ticket list is cannot be told, so it is pulled anew: %s", exc)
            self.discard_building()
            with contextlib.suppress(OSError):
                await self._writer.between(lambda tx: tx.whitelist.replace(lambda: remove(self.whitelist_path)))
            self.data = DataState()
        self._tx.identity = identity

    async def write(self, job: Callable[[Tx], T], *, refusable: bool = True) -> T:
        """Run a job in a journal transaction; see `Writer.write`."""
        value = await self._writer.write(job, refusable=refusable)
        self.recorded.set()
        return value

    async def read(self, job: Callable[[Tx], T]) -> T:
        """Run a job that writes nothing; it works on a disk that takes no more, too."""
        return await self._writer.between(job)

    async def archive(self, now: datetime, keep_days: int) -> int:
        """Archive one file's worth of sent rows; return how many."""
        return await self._writer.between(lambda tx: archive_sent(tx, self.archive_path, now, keep_days))

    # --- the whitelist ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def session(self, *, building: bool) -> AsyncIterator[WhitelistSession]:
        """Open a session on the list in use, or on the one being built; one that shows to be damaged is given up.

        Raises:
            sqlite3.Error: damaged, or the disk is full, or the like.
        """
        if building:
            opening = whitelist_session(self.building_path, kind="building")
        else:
            opening = whitelist_session(self.whitelist_path, self._tx.whitelist.mark_stale)
        try:
            async with opening as session:
                try:
                    yield session
                finally:
                    if not building:
                        self._note_data(session)
        except (sqlite3.DatabaseError, NewerSchema) as exc:
            await self.give_up_damaged(exc, building=building)
            raise

    async def give_up_damaged(self, exc: Exception, *, building: bool) -> None:
        """Give up the list in use, or the one being built, if `exc` says that it is damaged: it is pulled again."""
        if not isinstance(exc, NewerSchema) and not is_damage(exc):
            return
        if building:
            self.discard_building()
            self.hold(None)
        else:
            await self._writer.between(lambda tx: tx.whitelist.give_up())

    def _note_data(self, session: WhitelistSession) -> None:
        synced_at = session.meta("synced_at")
        self.data = replace(
            self.data,
            cursor=session.cursor,
            tickets=int(session.meta("count") or 0),
            fingerprint=session.meta("fingerprint") or "0" * 32,
            synced_at=instant_of(int(synced_at)) if synced_at else None,
            disowned=None if session.cursor else session.meta("disowned"),
        )

    async def own_list(self, owner: Owner) -> None:
        """See to it that both lists are their owner's: what another key made is given up, as by it all are unknown.

        One of the same key that another device pulled is used until it is pulled anew.

        Raises:
            sqlite3.Error: whose the list in use is cannot be told.
        """
        await self._note_key(owner)
        if self.building_path.exists() and not await self._may_go_on(owner):
            self.discard_building()
        try:
            async with self.session(building=False) as session:
                whose = owner.whose(session.meta("key"), session.meta("device"))
                if session.cursor and whose is Whose.UNMARKED:
                    await self._mark(session, None, **owner.mark())
                elif session.cursor and whose is Whose.OTHER_DEVICE:
                    await self._mark(session, "", **owner.mark(), disowned=OTHER_DEVICE)
        except sqlite3.DatabaseError as exc:
            if not is_damage(exc):
                raise
            return  # it was set aside, and the empty one in its place is nobody's
        if whose is Whose.OTHER_KEY:
            await self._give_up_list()

    async def _may_go_on(self, owner: Owner) -> bool:
        """Tell whether the list being built is its owner's; one that cannot be read now costs but a download."""
        try:
            async with self.session(building=True) as session:
                whose = owner.whose(session.meta("key"), session.meta("device"))
        except (sqlite3.Error, NewerSchema) as exc:
            log.warning("the list being built cannot be read, so it is built anew: %s", exc)
            return False
        return whose in (Whose.OWN, Whose.UNMARKED)

    async def _note_key(self, owner: Owner) -> None:
        try:
            changed = await self._writer.write(lambda tx: note_key(tx.journal, owner, tx.head[0], self._now()))
        except CannotRecord as exc:
            log.warning("the journal cannot say whose key is used: %s", exc)
        else:
            if changed:
                log.warning("journal: another lookup key; uses made before go on counting by event and ticket id")

    async def _mark(self, session: WhitelistSession, cursor: str | None, **changes: str) -> None:
        try:
            await session.commit(cursor, None, **changes)
        except sqlite3.OperationalError as exc:
            log.warning("the ticket list cannot be marked as this box's: %s", exc)

    async def _give_up_list(self) -> None:
        """Take away the list in use, which is of no use; the empty one says so until it is pulled."""
        log.warning("data: %s", OTHER_KEY)
        await self._writer.between(lambda tx: tx.whitelist.replace(lambda: remove(self.whitelist_path)))
        self.data = DataState()
        async with self.session(building=False) as session:
            await self._mark(session, None, disowned=OTHER_KEY)

    async def promote(self) -> None:
        """Put the list that was built in the place of the one in use, in one step, between two decisions."""

        def swap() -> None:
            # The old list's log must be gone before the new file has its name, or it would be played into it.
            for sidecar in sidecars(self.whitelist_path):
                sidecar.unlink(missing_ok=True)
            sync_folder(self._folder)
            self.building_path.rename(self.whitelist_path)
            sync_folder(self._folder)

        # It gets its write-ahead log while it is still beside the list in use, where a fault or a lock hurts nobody.
        async with whitelist_session(self.building_path):
            pass
        await self._writer.between(lambda tx: tx.whitelist.replace(swap))
        async with self.session(building=False):
            pass

    def discard_building(self) -> None:
        """Drop a list that was being built."""
        remove(self.building_path)

    def hold(self, why: str | None) -> None:
        """Show that a newer list waits for a person's word, or no longer does."""
        self.data = replace(self.data, held=why)

    async def wipe_whitelist(self) -> None:
        """Give up the list, and the pictures of guests: this box was revoked."""

        def swap() -> None:
            remove(self.whitelist_path)

        self.discard_building()
        await self._writer.between(lambda tx: tx.whitelist.replace(swap))
        self.data = DataState()
        await self.pictures.wipe()

    # --- reading the journal ------------------------------------------------------------------------------------

    async def scans_after(self, seq: int, limit: int) -> list[Scan]:
        """Return rows after `seq`, oldest first; `passage` as the turnstile has since said."""
        rows = await self._journal.execute_fetchall(
            f"{SELECT_SETTLED} WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
        )
        return [scan_of(tuple(row)) for row in rows]

    async def latest(self, limit: int, lane: str | None = None) -> list[Scan]:
        """Return the newest rows that answer a read, newest first."""
        rows = await self._journal.execute_fetchall(
            f"SELECT * FROM ({SELECT_SCAN} ORDER BY seq DESC LIMIT 1000)"  # noqa: S608
            " WHERE (?1 IS NULL OR lane = ?1) AND reason NOT IN (SELECT value FROM json_each(?2)) LIMIT ?3",
            (lane, json.dumps(sorted(NOT_A_VERDICT)), limit),
        )
        return [scan_of(tuple(row)) for row in rows]

    async def backlog(self) -> Backlog:
        """Return what the CRM has not got yet."""
        rows = await self._journal.execute_fetchall(
            "SELECT coalesce((SELECT max(seq) FROM scan), (SELECT max(last_seq) FROM archive), 0),"
            " coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'acked_seq'), 0) AS acked,"
            " (SELECT count(*) FROM parked), (SELECT count(*) FROM conflict)"
        )
        head, acked, parked, conflicts = tuple(*rows)
        oldest = await self._journal.execute_fetchall(
            "SELECT at FROM scan WHERE seq > ? ORDER BY seq LIMIT 1", (acked,)
        )
        return Backlog(head, acked, next((row[0] for row in oldest), None), parked, conflicts)

    async def conflicts(self, limit: int = 20) -> list[str]:
        """Return the newest conflicts, each as JSON text."""
        rows = await self._journal.execute_fetchall("SELECT body FROM conflict ORDER BY at DESC LIMIT ?", (limit,))
        return [row[0] for row in rows]

    async def shifts(self, lanes: Iterable[str]) -> dict[str, list[str]]:
        """Return who is signed in, by lane."""
        rows = await self._journal.execute_fetchall("SELECT lane, controller FROM shift WHERE closed_at IS NULL")
        found: dict[str, list[str]] = {lane: [] for lane in lanes}
        for lane, controller in rows:
            found.setdefault(lane, []).append(controller)
        return found


@asynccontextmanager
async def open_store(
    folder: Path, identity: Identity | None, now: Callable[[], datetime], on_defect: Callable[[BaseException], None]
) -> AsyncIterator[Store]:
    """Open both databases, mending or setting aside what is damaged, and close them in order.

    Raises:
        sqlite3.OperationalError: the folder cannot be used.
        FolderInUse: another gate works in it.
    """
    loop = asyncio.get_running_loop()
    store: Store | None = None
    moved_at_start: Path | None = None

    def on_damage(moved: Path) -> None:
        nonlocal moved_at_start
        if store is None:
            moved_at_start = moved
        else:
            loop.call_soon_threadsafe(_note_damage, store, moved)

    def stop(exc: BaseException) -> None:
        if is_damage(exc):
            suspect_path(folder / "journal.db").touch()
        on_defect(exc)

    async with contextlib.AsyncExitStack() as opened:
        opened.callback(os.close, _claim(folder))
        journal, salvage = open_journal(folder / "journal.db", now())
        opened.callback(journal.close)
        whitelist = WhitelistReader(folder / "whitelist.db", now, on_damage)
        opened.callback(whitelist.close)
        tx = Tx(journal, whitelist, identity)
        writer = Writer(tx, stop)
        opened.push_async_callback(writer.close)
        reader = await opened.enter_async_context(
            aiosqlite.Connection(lambda: connect_read_only(folder / "journal.db"), 64)
        )
        store = Store(folder, writer, tx, reader, Pictures(folder / "pictures", now), now)
        store.salvage = salvage
        if moved_at_start is not None:
            _note_damage(store, moved_at_start)
        async with store.session(building=False):
            pass
        if identity is not None:
            await store.own_list(_owner_of(identity))
        yield store


class FolderInUse(Exception):
    """Another gate works in the data folder: two would each admit the same ticket."""


def _claim(folder: Path) -> int:
    """Make the folder and lock it until the returned descriptor is closed, or the process ends however it ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise FolderInUse(f"{folder}: another gate is running on this data folder; stop it first") from exc
    return descriptor


def _owner_of(identity: Identity | None) -> Owner:
    return Owner.of(identity.device_id, identity.lookup_key) if identity else Owner()


def _note_damage(store: Store, moved: Path) -> None:
    store.damaged_whitelist = moved
    store.data = DataState()
    store.whitelist_damaged.set()
