"""Heartbeats: a gate's health for the CRM's time."""

import json
from datetime import timedelta
from typing import Any

from crm.conformance.checks import must
from crm.conformance.client import Answer
from crm.conformance.errors import Broken, Skipped
from crm.conformance.lines import is_instant
from crm.conformance.subject import Subject
from sync.instants import parse_instant

_SECTION = "Heartbeat"
_NEAR = timedelta(minutes=2)
_BIG = {"readers": [{"name": f"reader {number}", "state": "ready, готовий"} for number in range(800)]}
"""Some 50 of the 64 KiB that a CRM must take."""


@must("heartbeat-answer", _SECTION, "POST /heartbeat is answered with 200 and `time`.")
async def answer(subject: Subject) -> str | None:
    """Send a small health."""
    found = await _beat(subject, {"doctor": True})
    found.want_ok()
    if _time(found) is None:
        raise Broken(f"no time in {found.start()!r}", 'answer {"time": "2026-05-01T18:00:00Z"}')
    return None


@must("heartbeat-time", _SECTION, "`time` is an instant with Z.")
async def time(subject: Subject) -> str | None:
    """Look at how the time is written."""
    text = _time(await _beat(subject, {}))
    if text is None:
        raise Skipped("there is no time to look at: see heartbeat-answer")
    if not is_instant(text):
        raise Broken(f"time {text!r}", "write it in UTC as 2026-05-01T18:00:00Z, with up to six decimals")
    return None


@must("heartbeat-clock", _SECTION, "`time` is right: gates judge their own clocks by it.")
async def clock(subject: Subject) -> str | None:
    """Compare the time with this machine's."""
    text = _time(await _beat(subject, {}))
    try:
        off = parse_instant(text or "") - subject.clock()
    except ValueError as exc:
        raise Skipped("there is no time to compare: see heartbeat-time") from exc
    if abs(off) > _NEAR:
        mend = "tell the time of the answer, in UTC; set both clocks by NTP"
        raise Broken(f"{off.total_seconds():+.0f} s from this machine's clock", mend)
    return f"{off.total_seconds():+.1f} s from this machine's clock"


@must("heartbeat-any-object", _SECTION, "Any JSON object of up to 64 KiB is taken.")
async def any_object(subject: Subject) -> str | None:
    """Send what no CRM knows, and much of it."""
    for health in ({}, {"nested": {"list": [1, 2.5, None, {"x": "Ї"}]}, "version": "9.9.9"}, _BIG):
        (await _beat(subject, health)).want_ok()
    return None


CHECKS = (answer, time, clock, any_object)


async def _beat(subject: Subject, health: dict[str, Any]) -> Answer:
    return await subject.client.post("/heartbeat", subject.need_me().box.token, health)


def _time(answered: Answer) -> str | None:
    """Return the time as it was written; None: there is none."""
    try:
        said = json.loads(answered.body)
    except (ValueError, RecursionError):
        return None
    found = said.get("time") if isinstance(said, dict) else None
    return found if isinstance(found, str) else None
