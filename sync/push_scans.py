"""The scans that a CRM which pushes reads here, and so acknowledges: by reading on it says what it has.

It can have only what it was given, so what it was given without a gap is kept, by the token that it shows. Who reads
beyond that has the place from elsewhere (another journal, another token), and acknowledges nothing (docs/adr/0020).
"""

from dataclasses import dataclass
from datetime import datetime

from edge.store.outbox import acked_seq, acknowledge, followed_seq, given_seq, note_followed, note_given, pusher_token
from edge.store.store import Store
from edge.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Place:
    """How far the CRM of this token is: has every row up to `acked`, was given every row up to `followed`.

    `given` is the highest seq that was ever given, `head` the last of the journal.
    """

    token: str | None
    acked: int
    followed: int
    given: int
    head: int

    def astray(self, after_seq: int) -> str | None:
        """Say why a CRM cannot have everything up to a seq; None: it can."""
        if after_seq <= self.followed:
            return None
        but = (
            f"the journal ends at {self.head}"
            if after_seq > self.head
            else f"by its token it was given them only up to {self.followed}"
        )
        return f"the CRM reads scans after {after_seq}, but {but}; read from {self.followed}"


async def place_of_crm(store: Store) -> Place:
    """Return how far the CRM is that pushes."""

    def job(tx: Tx) -> Place:
        journal = tx.journal
        seqs = acked_seq(journal), followed_seq(journal), given_seq(journal)
        return Place(pusher_token(journal), *seqs, tx.head[0])

    return await store.read(job)


async def note_reading(store: Store, place: Place, after_seq: int, last_seq: int, now: datetime) -> bool:
    """Acknowledge up to `after_seq` if that can be, and note that what follows, up to `last_seq`, is about to be given.

    `last_seq` 0: nothing follows. True: more is acknowledged than was.

    Raises:
        CannotRecord: the disk takes nothing; nothing was acknowledged.
    """
    follows = place.astray(after_seq) is None
    has = after_seq if follows else 0
    if has <= place.acked and last_seq <= (place.followed if follows else place.given):
        return False

    def job(tx: Tx) -> bool:
        note_given(tx, last_seq)
        if pusher_token(tx.journal) != place.token:  # another has pushed meanwhile
            return False
        acknowledge(tx, has, (), now)
        note_followed(tx, after_seq, last_seq)
        return has > place.acked

    return await store.write(job)
