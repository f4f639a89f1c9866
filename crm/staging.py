"""Where an imported list waits until it is known to be good: a private temporary SQLite file that goes by itself.

Plain `sqlite3` and not the central's database, whichever that is: nobody else may see a list that may yet be refused.
"""

import sqlite3
from collections.abc import Iterator

from crm.tickets import FIELDS, TicketRecord

_COLUMNS = ", ".join(FIELDS)
# Names of our own class and question marks: no text from outside is in these.
_INSERT = f"INSERT INTO ticket VALUES (?, {', '.join('?' * len(FIELDS))})"  # noqa: S608
_SAME_CODE = f"SELECT line, {_COLUMNS} FROM ticket WHERE lookup = ?"  # noqa: S608
_BATCH = f"SELECT line, {_COLUMNS} FROM ticket WHERE lookup > ? ORDER BY lookup LIMIT ?"  # noqa: S608


class Staging:
    """Tickets by lookup, each with the line it came from. Use from one thread at a time."""

    def __init__(self) -> None:
        # An empty name is a temporary file, deleted when closed; SQLite keeps it in memory while it is small.
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute(f"CREATE TABLE ticket (line INTEGER, {_COLUMNS}, PRIMARY KEY (lookup)) WITHOUT ROWID")
        self._db.execute("CREATE UNIQUE INDEX by_id ON ticket (id)")
        self._db.execute("BEGIN")

    def put(self, line: int, record: TicketRecord) -> tuple[str, str] | None:
        """Add a ticket; return the field and what is wrong with it if the list already says otherwise.

        The same row twice is once.
        """
        values = [getattr(record, name) for name in FIELDS]
        try:
            self._db.execute(_INSERT, (line, *values))
        except sqlite3.IntegrityError:
            return self._clash(record)
        return None

    def _clash(self, record: TicketRecord) -> tuple[str, str] | None:
        row = self._db.execute(_SAME_CODE, (record.lookup,)).fetchone()
        if row is None:
            (line,) = self._db.execute("SELECT line FROM ticket WHERE id = ?", (record.id,)).fetchone()
            return "id", f"{record.id} is the id of another code in line {line}"
        if TicketRecord.of(row[1:]) == record:
            return None
        return "code", f"the same code as in line {row[0]}, with other values"

    def drop(self, lookup: bytes) -> None:
        """Leave a ticket out."""
        self._db.execute("DELETE FROM ticket WHERE lookup = ?", (lookup,))

    def batches(self, size: int) -> Iterator[list[tuple[int, TicketRecord]]]:
        """Yield up to `size` tickets with their lines at a time, by lookup; tickets may be dropped meanwhile."""
        after = b""
        while rows := self._db.execute(_BATCH, (after, size)).fetchall():
            yield [(row[0], TicketRecord.of(row[1:])) for row in rows]
            after = rows[-1][1]

    def close(self) -> None:
        """Let the list go."""
        self._db.close()
