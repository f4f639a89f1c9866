"""One run of the suite: reaches the CRM, says what will be done to it, and makes the checks."""

from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime

import httpx

from crm.conformance.checks import Check, Result
from crm.conformance.client import Client
from crm.conformance.errors import NoAnswer
from crm.conformance.gate import Box
from crm.conformance.rows import CODE_START, LANE, Journal
from crm.conformance.run import run
from crm.conformance.subject import Options, Subject, system_clock
from crm.errors import BadInput


def announcement(url: str, options: Options) -> str:
    """Tell what a run does to the CRM, before it does it."""
    devices = sum(code is not None for code in (options.code, options.other_code))
    enrols = f"enrol {devices} device{'s' * (devices > 1)}, " if devices else ""
    admits = ", admit one ticket and take that back" if options.admit else ""
    return (
        f"At {url} this will {enrols}record some 520 refused scans of codes that begin with {CODE_START} at the lane"
        f" {LANE!r}, with gaps and doubles that the CRM may report{admits}; and ask some 130 times, much of it wrong."
        f" Nothing else is changed. Do not run it while guests are let in."
    )


async def examine(
    url: str,
    options: Options,
    box: Box | None = None,
    *,
    begins: Callable[[Check], None] = lambda _check: None,
    clock: Callable[[], datetime] = system_clock,
) -> list[Result]:
    """Make all checks at `url`, and return what came of each.

    `box` is the device to play where it is enrolled already; `begins` is told of each check before it is made.

    Raises:
        BadInput: the CRM cannot be reached at all.
    """
    try:
        client = Client(url)
    except httpx.InvalidURL as exc:
        raise BadInput("URL", f"{exc}; write it as https://crm.example") from exc
    async with aclosing(client):
        try:
            await client.call("GET", "/changes", whole=False)
        except NoAnswer as exc:
            raise BadInput("URL", f"the CRM cannot be reached ({exc.got}); write it as https://crm.example") from exc
        subject = Subject(client, options, clock)
        if box is not None:
            subject.me = subject.follow(box)
            # Beyond the rows that the device has sent, whatever it was.
            subject.journal = Journal(clock, box.lookup_key, seq=int(clock().timestamp()))
        return await run(subject, begins)
