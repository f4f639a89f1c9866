"""What a gate without a CRM and the process that reads its barcode files tell each other, and the cursors they use.

A cursor is a digest of all that was read: `<digest>.<tickets>.<fingerprint>` at the end of a list, `<digest>+<row>`
within it. So the same content again is known as such, and a feed that was cut goes on from its last row.
"""

import re

import msgspec

_WHOLE = re.compile(r"([0-9a-f]{32})\.([0-9]{1,15})\.([0-9a-f]{32})")
_PART = re.compile(r"([0-9a-f]{32})\+([0-9]{1,15})")


class ListedFile(msgspec.Struct, frozen=True):
    """A barcode file: where it is, what people call it, which events its tickets are for, and how it was found."""

    path: bytes
    name: str
    source: str
    events: list[str]
    size: int
    mtime_ns: int


class ListedEvent(msgspec.Struct, frozen=True):
    """An event: its zone, and the names of its ticket types by id; None: the types are those that the files name.

    `prefix` goes before the ids of those, so that they are the event's own.
    """

    id: str
    tz: str
    types: dict[str, str] | None
    prefix: str = ""


class FileJob(msgspec.Struct, frozen=True):
    """What is to be read, and since which cursor.

    `plan` are the feed's lines that are no tickets, `salt` is a digest of all that the feed is made of but the files,
    `at` the time that the cursors bear. `dry`: only look whether the files are good.
    """

    key: bytes
    salt: bytes
    at: str
    plan: list[str]
    events: list[ListedEvent]
    files: list[ListedFile]
    since: str | None = None
    skip_bad: bool = False
    dry: bool = False


class FileReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the process found, before the feed's first line.

    `why`: no feed follows, for this reason; `lasting`: and so it stays until a file is changed. `same`: none follows,
    since there is nothing new. `bad` rows were left out, `doubles` are codes that a later file replaced.
    """

    digest: str = ""
    why: str | None = None
    lasting: bool = False
    same: bool = False
    files: int = 0
    rows: int = 0
    tickets: int = 0
    bad: int = 0
    doubles: int = 0
    problems: list[str] = []


class Cursor(msgspec.Struct, frozen=True):
    """A cursor of ours: the digest, and how far within the list; None: to its end."""

    digest: str
    row: int | None = None
    tickets: int = 0
    fingerprint: str = ""

    def write(self) -> str:
        """Write it as the feed bears it."""
        if self.row is not None:
            return f"{self.digest}+{self.row}"
        return f"{self.digest}.{self.tickets}.{self.fingerprint}"

    @classmethod
    def parse(cls, text: str | None) -> "Cursor | None":
        """Read a cursor; None: it is not one of ours, so that everything must be sent."""
        if text is None:
            return None
        if found := _WHOLE.fullmatch(text):
            return cls(found[1], None, int(found[2]), found[3])
        if found := _PART.fullmatch(text):
            return cls(found[1], int(found[2]))
        return None
