"""Cursors: where a gate stands in the feed. Opaque to the gate; here base64url of a short JSON array.

While everything is being sent, a gate at a cursor holds all catalogue lines as at `seq`, and of the tickets, in order
of event and lookup, those up to `event`, `lookup`, as at `seq` too: `held` is their count and fingerprint.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from crm.errors import Denied
from crm.transactions import Moment
from edge.core.fingerprint import Fingerprint

_MAX_CHARS = 1000
EMPTY = Fingerprint()


class Phase(StrEnum):
    """What is being sent: tickets of everything, then admissions of everything, then what changes."""

    TICKETS = "t"
    ADMISSIONS = "a"
    FEED = "f"


@dataclass(frozen=True, slots=True)
class Place:
    """A decoded cursor; `scan_id` is the last admission sent while those are being sent."""

    epoch: str
    seq: int
    phase: Phase = Phase.FEED
    held: Fingerprint = EMPTY
    event: str = ""
    lookup: bytes = b""
    scan_id: str = ""

    def covers(self, event: str, lookup: bytes) -> bool:
        """Tell whether a gate at this place has been sent the part of the list in which this ticket lies."""
        return self.phase is not Phase.TICKETS or (event, lookup) <= (self.event, self.lookup)

    def write(self) -> str:
        """Write the cursor."""
        parts = [self.epoch, self.seq, self.phase.value]
        if self.phase is not Phase.FEED:
            parts += [self.held.count, self.held.hex(), self.event, self.lookup.hex(), self.scan_id]
        text = json.dumps(parts, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def parse_cursor(text: str) -> Place:
    """Read a cursor.

    Raises:
        Denied: 410, not one of ours: to a gate a cursor is opaque, so starting again is its only mend.
    """
    try:
        parts = json.loads(base64.b64decode(text[:_MAX_CHARS] + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        return _place(parts)
    except (ValueError, TypeError, IndexError, RecursionError, binascii.Error) as exc:
        raise Denied(410, "not_a_cursor", "since: not a cursor of this CRM: start again without since") from exc


def _place(parts: list[Any]) -> Place:
    epoch, seq, phase = parts[0], parts[1], Phase(parts[2])
    if not isinstance(epoch, str) or not isinstance(seq, int) or not 0 <= seq < 1 << 63:
        raise ValueError("not a cursor")
    if phase is Phase.FEED:
        return Place(epoch, seq)
    count, total, event, lookup, scan_id = parts[3:8]
    if not isinstance(count, int) or count < 0 or not re.fullmatch(r"[!-~]*", f"{event}{scan_id}"):
        raise ValueError("not a cursor")
    held = Fingerprint.parse(count, str(total))
    return Place(epoch, seq, phase, held, str(event), bytes.fromhex(str(lookup)), str(scan_id))


def check_place(place: Place, moment: Moment) -> None:
    """Check that the feed reached back to this place at a moment.

    Raises:
        Denied: 410, the gate must start again without `since`.
    """
    if place.epoch != moment.organiser.epoch:
        raise Denied(410, "cursor_of_another_crm", "this cursor is of another CRM: start again without since")
    if place.seq > moment.seq:
        raise Denied(410, "cursor_ahead", "this cursor is ahead of this CRM, which was restored: start again")
    if place.seq < moment.pruned_seq:
        raise Denied(410, "cursor_too_old", "the feed no longer reaches back to this cursor: start again without since")
