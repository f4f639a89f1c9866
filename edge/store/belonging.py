"""Whose ticket list this is: the list and the journal each say under which lookup key they were made.

Lookups of another key find nothing: by such a list every guest would be unknown, so it is not used. What the journal
holds is kept, whatever the key: uses count by event and ticket id, and those ids may mean the same tickets (a CRM put
back from a backup) or others (another organiser's). Nothing here can tell which, so a ticket that was used is used:
better closed than wrong, and the refusal says when and where. Lookups are never compared across keys. What was not yet
sent goes to the CRM that the box is enrolled with when it is sent.
"""

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from edge.core.admission import instant_text

OTHER_KEY = (
    "the ticket list that was here was made under another lookup key, so that no code would be found in it; it was"
    " given up and is pulled anew, and until then no ticket is known"
)
OTHER_DEVICE = (
    "this box was enrolled anew since its ticket list was pulled; everything is pulled anew, and the list that is here"
    " is used until then"
)
_DOMAIN = b"brama: whose list\0"


class Whose(Enum):
    """Whose a list is, and with that what it is good for."""

    OWN = auto()
    UNMARKED = auto()
    """Made by a release that did not write it down: taken for its finder's."""
    OTHER_DEVICE = auto()
    """Of the same key, so it can be judged by; but what the CRM leaves out for one device it sends to another."""
    OTHER_KEY = auto()


@dataclass(frozen=True, slots=True)
class Owner:
    """Under which key (its digest) and by which device a list was pulled; both empty before the box is enrolled."""

    key: str = ""
    device: str = ""

    @classmethod
    def of(cls, device_id: str, lookup_key: bytes) -> "Owner":
        """Name the owner; of the key only a digest is kept, by which it can be told from others and not found."""
        return cls(hashlib.sha256(_DOMAIN + lookup_key).hexdigest(), device_id)

    def mark(self) -> dict[str, str]:
        """Return what a list keeps of its owner beside its cursor."""
        return {"key": self.key, "device": self.device}

    def whose(self, key: str | None, device: str | None) -> Whose:
        """Tell whose a list is by the mark that it keeps."""
        if key is None:
            return Whose.UNMARKED
        if key != self.key:
            return Whose.OTHER_KEY
        return Whose.OWN if device == self.device else Whose.OTHER_DEVICE


def note_key(journal: sqlite3.Connection, owner: Owner, last_seq: int, now: datetime) -> bool:
    """Write down in the journal under which key the rows after `last_seq` are made; False: as those before.

    For a job in the journal's transaction. When the key changed stays written down, for whoever reads the journal.
    """
    found = dict(journal.execute("SELECT key, value FROM meta WHERE key IN ('lookup_key', 'lookup_key_changes')"))
    before = found.get("lookup_key")
    if before == owner.key:
        return False
    journal.execute("INSERT OR REPLACE INTO meta VALUES ('lookup_key', ?)", (owner.key,))
    if before is None:
        return False
    changes = json.loads(found.get("lookup_key_changes", "[]"))
    changes.append({"after_seq": last_seq, "at": instant_text(now), "device": owner.device})
    journal.execute("INSERT OR REPLACE INTO meta VALUES ('lookup_key_changes', ?)", (json.dumps(changes),))
    return True
