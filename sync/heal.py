"""Mending a list that differs from the CRM's: find the ranges of lookups in which it does, and pull those alone."""

import logging

from edge.core.fingerprint import Fingerprint
from edge.store.whitelist_writer import WhitelistSession
from sync.connector import Connector
from sync.cutting import whole_lines
from sync.errors import BadFeed
from sync.lines import parsed
from sync.wire import CursorLine, TicketsLine

log = logging.getLogger(__name__)

FEW_ROWS = 1000
"""A range of no more tickets is pulled; a larger one is narrowed further."""
SHORTEST, LONGEST = 2, 8
"""Digits of a range that is pulled; eight are one in four thousand million."""
MOST_RANGES = 64
"""With more that differ, a new list costs less than to mend this one."""


class _TooDifferent(Exception):
    """Only a new list mends it."""


async def heal_list(session: WhitelistSession, connector: Connector) -> bool:
    """Make the list what the CRM says, range by range; False: it differs too widely, or the CRM offers no ranges.

    Each range changes in one transaction. The cursor stays: what the ranges are ahead of it comes once more.

    Raises:
        LinkDown, TokenRefused: the CRM was lost over it; the ranges already pulled stay.
    """
    try:
        ranges = await _differing(session, connector, "")
    except _TooDifferent:
        return False
    finally:
        await session.rollback()
    for prefix in ranges:
        await _pull(session, connector, prefix)
    log.warning("the ticket list differed from the CRM's in %d ranges of lookups, which were pulled anew", len(ranges))
    return bool(ranges)


async def _differing(session: WhitelistSession, connector: Connector, prefix: str) -> list[str]:
    """Return the shortest ranges under `prefix` that differ and hold few tickets."""
    theirs = await connector.fingerprints(prefix)
    if theirs is None:
        raise _TooDifferent
    found: list[str] = []
    for digit, mine in (await session.sums(prefix)).items():
        part = theirs.children.get(digit)
        other = Fingerprint.parse(part.count, part.fingerprint) if part else Fingerprint()
        if mine == other:
            continue
        here, rows = prefix + digit, max(mine.count, other.count)
        if len(here) >= LONGEST or (len(here) >= SHORTEST and rows <= FEW_ROWS):
            found.append(here)
        else:
            below = await _differing(session, connector, here)
            # Where the sum kept is off and the rows are not, nothing below differs: the part is pulled whole.
            found += [here] if not below and len(here) >= SHORTEST else below
        if len(found) > MOST_RANGES:
            raise _TooDifferent
    return found


async def _pull(session: WhitelistSession, connector: Connector, prefix: str) -> None:
    ended = False
    async with connector.tickets(prefix) as feed:
        await session.clear_range(prefix)
        try:
            number = 0
            async for raw in whole_lines(feed.chunks, feed.encoding):
                number += 1
                match await parsed(raw, number):
                    case TicketsLine() as line:
                        await session.put_tickets(line.event, line.rows)
                    case CursorLine():
                        ended = True
                    case _:
                        pass
            if not ended:
                raise BadFeed(f"/tickets?prefix={prefix}: ends without a cursor line; asking again")
            await session.commit(None, None)
        finally:
            await session.rollback()
