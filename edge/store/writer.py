"""The decision thread: the one writer of the journal, with group commit.

Jobs that wait together share one transaction, so the cost of the disk's flush is paid once for all of them. A job's
answer is handed out only after COMMIT has returned: what was answered is on disk.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from edge.store.database import is_damage
from edge.store.tx import StoreRefusal, Tx

T = TypeVar("T")

MAX_BATCH = 64
"""The most jobs in one transaction: bounds how long the first of them waits."""
IDLE_JOBS = 40
"""From this many jobs on the write-ahead log is folded back at the next idle moment, so that no guest waits for it.

Without one, SQLite does it at 1,000 pages. The log's file is then written over from its start: a flush that does not
lengthen the file costs half of one that does (bench/).
"""
IDLE_S = 0.05
LOG_BYTES = 5 * 1024 * 1024
"""A little more than the 1,000 pages at which SQLite folds the log back."""


class CannotRecord(Exception):
    """The journal could not be written: disk full, read-only, or failing; no admission without a record."""


@dataclass(slots=True)
class _Job:
    run: Callable[[Tx], Any]
    future: "asyncio.Future[Any]"
    exclusive: bool = False
    refusable: bool = True


class Writer:
    """Runs jobs in their own thread, in the order given, each inside a journal transaction.

    `on_defect` is called, in the event loop, with an exception that no job should raise, or with what SQLite said of a
    damaged journal: the process must then end and be started again, since it is better closed than wrong.
    """

    def __init__(self, tx: Tx, on_defect: Callable[[BaseException], None]) -> None:
        self._tx = tx
        self._on_defect = on_defect
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="decide-and-record", daemon=True)
        self._jobs = 0
        self._open = True
        _lengthen_log(tx.journal)
        self._thread.start()

    def write(self, job: Callable[[Tx], T], *, refusable: bool = True) -> "asyncio.Future[T]":
        """Run `job` in a transaction; the future has its value once that is on disk.

        A job that never raises StoreRefusal says so with `refusable` false and is spared a savepoint.

        Raises:
            CannotRecord: the disk would not take it; nothing of the job happened.
            StoreRefusal: raised by the job; nothing of the job happened.
        """
        return self._submit(job, refusable=refusable)

    def between(self, job: Callable[[Tx], T]) -> "asyncio.Future[T]":
        """Run `job` between transactions, with no other job under way."""
        return self._submit(job, exclusive=True)

    def _submit(
        self, job: Callable[[Tx], T], *, exclusive: bool = False, refusable: bool = True
    ) -> "asyncio.Future[T]":
        if not self._open:
            raise CannotRecord("the journal is closed: the gate is stopping")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Job(job, future, exclusive, refusable))
        return future

    async def close(self) -> None:
        """Finish what waits, fold the log back, and end the thread."""
        self._open = False
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # --- in the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            batch, stop = self._next_batch()
            if batch:
                self._do(batch)
            if stop:
                self._checkpoint()
                return

    def _next_batch(self) -> tuple[list[_Job], bool]:
        """Wait for a job and take all that wait with it; an exclusive one comes alone."""
        job = self._wait()
        batch: list[_Job] = []
        while job is not None:
            if job.exclusive:
                if batch:
                    self._do(batch)
                self._do_alone(job)
                return [], False
            batch.append(job)
            if len(batch) == MAX_BATCH:
                return batch, False
            if self._queue.empty():
                return batch, False
            job = self._queue.get()
        return batch, True

    def _wait(self) -> _Job | None:
        if self._jobs >= IDLE_JOBS:
            try:
                return self._queue.get(timeout=IDLE_S)
            except queue.Empty:
                self._checkpoint()
        return self._queue.get()

    def _do(self, batch: list[_Job]) -> None:
        """Run a batch in one transaction and hand out the answers."""
        tx = self._tx
        outcomes: list[tuple[_Job, Any, BaseException | None]] = []
        try:
            tx.journal.execute("BEGIN IMMEDIATE")
            tx.whitelist.begin()
            alone = len(batch) == 1
            outcomes.extend(self._do_one(job, alone=alone) for job in batch)
            if tx.journal.in_transaction:
                tx.journal.execute("COMMIT")
        except sqlite3.Error as exc:
            self._abandon()
            failure = CannotRecord(f"the journal cannot be written: {exc}")
            outcomes = [(job, None, failure) for job in batch]
            if is_damage(exc):
                self._call(self._on_defect, exc)
        except BaseException as exc:  # noqa: BLE001 (handed to on_defect, which ends the process)
            self._abandon()
            outcomes = [(job, None, exc) for job in batch]
            self._call(self._on_defect, exc)
        self._call(_settle, outcomes)
        self._tx.whitelist.end()
        self._jobs += len(batch)

    def _do_one(self, job: _Job, *, alone: bool) -> tuple[_Job, Any, BaseException | None]:
        """Run one job of a batch; a refusal undoes that job only. One that is alone needs no savepoint for that."""
        if not job.refusable:
            return job, job.run(self._tx), None
        tx, head = self._tx, self._tx.head
        if not alone:
            tx.journal.execute("SAVEPOINT job")
        try:
            outcome: tuple[_Job, Any, BaseException | None] = (job, job.run(tx), None)
        except StoreRefusal as exc:
            tx.journal.execute("ROLLBACK" if alone else "ROLLBACK TO job")
            tx.reset(head)
            outcome = (job, None, exc)
        if not alone:
            tx.journal.execute("RELEASE job")
        return outcome

    def _do_alone(self, job: _Job) -> None:
        try:
            self._tx.whitelist.refresh()
            outcome = (job, job.run(self._tx), None)
        except Exception as exc:  # noqa: BLE001 (handed to the caller as it is)
            self._call(_settle, [(job, None, exc)])
        else:
            self._call(_settle, [outcome])

    def _abandon(self) -> None:
        """Leave a failed transaction; the head, which may have moved in memory only, is read again."""
        self._tx.reset()
        with contextlib.suppress(sqlite3.Error):
            if self._tx.journal.in_transaction:
                self._tx.journal.execute("ROLLBACK")

    def _checkpoint(self) -> None:
        """Fold the log back into the file; a reader in the way, or a full disk, only puts it off."""
        with contextlib.suppress(sqlite3.Error):
            self._tx.journal.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._jobs = 0

    def _call(self, function: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            self._open = False  # the loop has gone: nobody waits for the answer, which is on disk all the same


def _lengthen_log(journal: sqlite3.Connection) -> None:
    """Give the write-ahead log its full length at once: until it has it, each flush would cost twice as much.

    A transaction that outgrows the page cache spills into the log; rolled back, it leaves the file long and nothing in
    it. SQLite begins the log anew over the same bytes.
    """
    with contextlib.suppress(sqlite3.Error):  # a disk that is full will be met again by the first job
        journal.execute("BEGIN IMMEDIATE")
        try:
            journal.execute("CREATE TABLE filler (body BLOB)")
            journal.execute("INSERT INTO filler VALUES (zeroblob(?))", (LOG_BYTES,))
        finally:
            journal.execute("ROLLBACK")


def _settle(outcomes: list[tuple[_Job, Any, BaseException | None]]) -> None:
    for job, value, error in outcomes:
        if job.future.done():
            continue
        if error is None:
            job.future.set_result(value)
        else:
            job.future.set_exception(error)
