"""Where the rows of barcode files wait until they are known to be good, and are put in order of lookup.

A private temporary SQLite file that goes by itself, so that a list of any length takes little memory: rows are added as
they come, then sorted once. Of the same code in two files that of the later file counts.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sync.barcode_file import Problem, TicketFields

CACHE_KIB = 2048
BATCH = 1000
Place = tuple[int, int]
"""A file's number and a line in it."""
Row = tuple[int, str, TicketFields]
"""A row's number, which grows with event and lookup; its event; what it says."""

_FIELDS = ", ".join(TicketFields._fields)
_MARKS = ", ".join("?" * len(TicketFields._fields))
_COMMON = f"event TEXT, file INTEGER, line INTEGER, named INTEGER, {_FIELDS}"
# Names of our own class and question marks: no text from outside is in these.
_ADD = f"INSERT INTO given VALUES (?, ?, ?, ?, {_MARKS})"  # noqa: S608
_SORTED = f"SELECT event, file, line, named, {_FIELDS} FROM given ORDER BY event, lookup, file, line"  # noqa: S608
_KEEP = f"INSERT INTO kept (event, file, line, named, {_FIELDS}) VALUES (?, ?, ?, ?, {_MARKS})"  # noqa: S608
_KEPT = f"SELECT number, event, {_FIELDS} FROM kept ORDER BY number"  # noqa: S608
# Of an id that several codes bear, all but the rows of the code that bore it first.
_SHARED = """
WITH shared AS (SELECT id FROM kept WHERE named GROUP BY id HAVING min(lookup) <> max(lookup)),
     placed AS (SELECT number, id, lookup, file, line, first_value(lookup) OVER w AS owner,
                       first_value(file) OVER w AS owner_file, first_value(line) OVER w AS owner_line
                FROM kept WHERE named AND id IN shared WINDOW w AS (PARTITION BY id ORDER BY file, line))
SELECT number, id, file, line, owner_file, owner_line FROM placed WHERE lookup <> owner
"""


class Staging:
    """Tickets of several files and events; `add` them all, `settle`, then read `rows`."""

    def __init__(self, names: list[str]) -> None:
        """`names` are those of the files, in the order in which they count."""
        self._names = names
        self.bad = 0
        """Rows that will not do."""
        self.doubles = 0
        """Codes that a later file replaced."""
        # An empty name is a temporary file, deleted when closed.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute(f"CREATE TABLE given ({_COMMON})")
        self._db.execute(f"CREATE TABLE kept (number INTEGER PRIMARY KEY, {_COMMON})")
        self._db.execute("CREATE TABLE problem (file INTEGER, line INTEGER, text TEXT)")

    def close(self) -> None:
        """Let the list go."""
        self._db.close()

    def add(self, event: str, file: int, rows: Iterable[tuple[int, TicketFields, bool]]) -> None:
        """Add rows of one file and event; each with its line, and whether the file itself names its id."""
        with self._together():
            self._db.executemany(_ADD, ((event, file, line, named, *fields) for line, fields, named in rows))

    def complain(self, file: int, problem: Problem) -> None:
        """Keep what is wrong with a row, which was not added."""
        self.bad += 1
        self._db.execute("INSERT INTO problem VALUES (?, ?, ?)", (file, problem.line, str(problem)))

    def problems(self, most: int) -> list[str]:
        """Return what is wrong, in the order of files and lines."""
        found = self._db.execute("SELECT file, text FROM problem ORDER BY file, line LIMIT ?", (most,))
        return [f"{self._names[file]}: {text}" for file, text in found]

    def settle(self) -> None:
        """Sort the rows, drop what a later file replaced, and find codes and ids that are there twice."""
        with self._together():
            self._db.executemany(_KEEP, self._single())
            self._db.execute("DROP TABLE given")
            self._check_ids()

    def count(self) -> int:
        """Return how many tickets there are."""
        ((found,),) = self._db.execute("SELECT count(*) FROM kept")
        return int(found)

    def rows(self) -> Iterator[Row]:
        """Yield the tickets by event and lookup."""
        for number, event, *fields in self._db.execute(_KEPT):
            yield number, event, TicketFields._make(fields)

    def _single(self) -> Iterator[tuple[object, ...]]:
        """Yield of each event and lookup the one row that counts."""
        held: tuple[object, ...] | None = None
        # The cursor of its own connection reads one table while another is written.
        for row in self._db.execute(_SORTED):
            if held is None or (held[0], held[4]) != (row[0], row[4]):
                if held is not None:
                    yield held
                held = row
            elif held[1] != row[1]:
                self.doubles += 1
                held = row
            elif held[4:] != row[4:]:
                self.complain(row[1], Problem(row[2], "code", f"the same code as in line {held[2]}, with other values"))
        if held is not None:
            yield held

    def _check_ids(self) -> None:
        for number, ticket_id, file, line, owner_file, owner_line in self._db.execute(_SHARED).fetchall():
            where = f"line {owner_line}" + ("" if owner_file == file else f" of {self._names[owner_file]}")
            mend = f"{ticket_id} is the id of another code in {where}; make it unique, or leave the id out"
            self.complain(file, Problem(line, "id", mend))
            self._db.execute("DELETE FROM kept WHERE number = ?", (number,))

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Make one transaction of it; nobody but this process sees the file, so there is nothing to roll back."""
        self._db.execute("BEGIN")
        yield
        self._db.execute("COMMIT")
