"""Compression: answers are packed as `Accept-Encoding` asks, and say so."""

import httpx

from crm.conformance.checks import may, must
from crm.conformance.errors import Broken, Skipped
from crm.conformance.subject import Subject

_SECTION = "Basics"


@must("gzip-not-asked", _SECTION, "With Accept-Encoding: identity the feed is sent plain.")
async def not_asked(subject: Subject) -> str | None:
    """Look at the label of the snapshot, which was asked for plain."""
    if found := subject.need_snapshot().encoding:
        raise Broken(f"Content-Encoding: {found}", "pack only where Accept-Encoding offers gzip")
    return None


@must("gzip-asked", _SECTION, "With Accept-Encoding: gzip the feed is packed by gzip, or plain; and labelled so.")
async def asked(subject: Subject) -> str | None:
    """Read everything again, offering gzip."""
    subject.need_snapshot()
    packed = subject.follow(subject.need_me().box)
    reading = await packed.everything(packed=True)
    if reading.status != httpx.codes.OK:
        raise Broken(f"{reading.status}", "answer 200 whatever Accept-Encoding says")
    subject.packed = reading
    if reading.packing:
        raise Broken(reading.packing, "label a packed answer Content-Encoding: gzip and no other; end its gzip stream")
    if not reading.cursors and subject.snapshot and subject.snapshot.cursors:
        raise Broken(f"no lines can be read: {reading.said()}", "label a packed answer Content-Encoding: gzip")
    return None if reading.encoding else "sent plain, which is allowed"


@may("gzip-offered", _SECTION, "The feed is packed where gzip is offered: much less then goes over a weak network.")
async def offered(subject: Subject) -> str | None:
    """Look at the label of the answer that could have been packed."""
    if subject.packed is None:
        raise Skipped("there is no answer to look at: see gzip-asked")
    if not subject.packed.encoding:
        raise Broken("no Content-Encoding", "pack the feed by gzip")
    return None


CHECKS = (not_asked, asked, offered)
