"""Cursors: what comes since one, how long an answer is held, and what becomes of one that is not known."""

import asyncio

from crm.conformance.checks import must
from crm.conformance.client import bearer
from crm.conformance.errors import Broken, NoAnswer, Skipped
from crm.conformance.gate import Gate
from crm.conformance.reading import Reading
from crm.conformance.subject import Subject

_FEED = "The change feed"
_TRIES = 3
"""A CRM in use may change the list under the hands of a check that wants quiet."""
_EARLY = 0.9
_GONE = 410
_NONSENSE = ("brama-conformance-no-cursor", "курсор", "{}", "-1", "x" * 1000)


@must("since-last", _FEED, "Since the last cursor there is nothing but a cursor line.")
async def since_last(subject: Subject) -> str | None:
    """Ask for changes where there are none."""
    me = subject.need_me()
    subject.need_snapshot()
    reading = Reading()
    for _ in range(_TRIES):
        reading = await me.changes()
        if set(reading.kinds) == {"cursor"}:
            return None
    mend = "send what changed after the cursor and no more; each row again and again costs the gates their network"
    raise Broken(f"{_TRIES} times in a row: {reading.said()}", mend)


@must("wait-held", _FEED, "With `wait` the answer is held while nothing has changed.")
async def wait_held(subject: Subject) -> str | None:
    """Measure how long an answer is held."""
    wait_s = subject.options.wait_s
    took_s = await _held_s(subject)
    if took_s is not None and took_s < wait_s * _EARLY:
        mend = "hold the answer until there is a change or `wait` seconds are up: a change then reaches gates at once"
        raise Broken(f"answered after {took_s:.2f} s of {wait_s:g} s", mend)
    return None


@must("wait-in-time", _FEED, "When `wait` is up and nothing has changed, a cursor line comes.")
async def wait_in_time(subject: Subject) -> str | None:
    """See that a held answer comes at all."""
    wait_s, grace_s = subject.options.wait_s, subject.options.grace_s
    took_s = await _held_s(subject)
    if took_s is None or took_s > wait_s + grace_s:
        late = f"no whole answer {grace_s:g} s after the {wait_s:g} s were up"
        raise Broken(late, "answer with a cursor line when the time is up; gates give up 20 s after it")
    return None


@must("cursor-unknown", _FEED, "A cursor from which the CRM cannot go on is answered with 410.")
async def unknown(subject: Subject) -> str | None:
    """Ask since cursors that nobody gave."""
    me = subject.need_me()
    for cursor in _NONSENSE:
        token, params = bearer(me.box.token), {"since": cursor}
        answer = await subject.client.call("GET", "/changes", authorization=token, params=params, whole=False)
        if answer.status != _GONE:
            mend = "answer 410, also to what cannot be read as a cursor: only then does a gate start again"
            raise Broken(f"since={cursor[:40]}: {answer.status}", mend)
    return None


@must("live-change", _FEED, "A change ends the wait: the gate hears of it at once.")
async def live_change(subject: Subject) -> str | None:
    """Ask the maker for a change while an answer is held."""
    ask, wait_s = subject.options.ask, subject.options.change_s
    if ask is None:
        raise Skipped("nobody is asked to change something: run it with --interactive")
    me = subject.need_me()
    subject.need_snapshot()
    await me.catch_up()
    async with asyncio.TaskGroup() as group:
        started = subject.monotonic()
        held = group.create_task(_changes(me, wait_s), name="held request")
        await ask(f"Within {wait_s:g} s, change something in the CRM: sell a ticket, or block one.")
    took_s, reading = subject.monotonic() - started, held.result()
    if isinstance(reading, Broken):
        raise reading
    if set(reading.kinds) <= {"cursor"}:
        raise Broken(f"no change came in {took_s:.1f} s", "end the wait when anything of this device's list changes")
    if took_s >= wait_s * _EARLY:
        raise Broken(f"the change came only with the end of the wait, after {took_s:.1f} s", "end the wait at once")
    return f"{reading.said()} after {took_s:.1f} s"


CHECKS = (since_last, wait_held, wait_in_time, unknown, live_change)


async def _changes(me: Gate, wait_s: float) -> Reading | Broken:
    """Ask for changes; what is broken is returned, since a task group would wrap it up."""
    try:
        return await me.changes(wait_s)
    except Broken as exc:
        return exc


async def _held_s(subject: Subject) -> float | None:
    """Return how long an answer was held that brought no change; None: none came in time.

    Raises:
        Skipped: there was a change each time.
    """
    me, wait_s, grace_s = subject.need_me(), subject.options.wait_s, subject.options.grace_s
    subject.need_snapshot()
    if not subject.waited_s:
        subject.waited_s.append(await _quiet_s(subject, me, wait_s, wait_s + grace_s))
    return subject.waited_s[0]


async def _quiet_s(subject: Subject, me: Gate, wait_s: float, most_s: float) -> float | None:
    for _ in range(_TRIES):
        started = subject.monotonic()
        try:
            async with asyncio.timeout(most_s):
                reading = await me.changes(wait_s)
        except (TimeoutError, NoAnswer):
            return None
        if set(reading.kinds) <= {"cursor"}:
            return subject.monotonic() - started
    raise Skipped("there was a change each time: run it when nobody sells")
