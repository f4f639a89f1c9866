"""The admission decision, told as evenings at a venue; see conftest.py for the venue."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.admission import NOT_A_VERDICT, Admitted, Exited, Facts, Reason, Refused, choose_ticket, decide
from edge.core.messages import Language, explain
from edge.core.model import (
    Checkpoint,
    ClockTrust,
    Controller,
    Direction,
    EntryPolicy,
    Event,
    EventStatus,
    Interval,
    OnDoubt,
    Per,
    Policies,
    Reentry,
    Ticket,
    TicketState,
    Use,
)

steady = settings(derandomize=True, max_examples=250, deadline=None)

ENTRY, EXIT = Direction.ENTRY, Direction.EXIT


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


NOW = at("2026-05-01T16:02:00Z")
"""19:02 at the venue."""

# --- one story per reason, in the order of design.md section 5 ------------------------------------------------------

MATCH = Event(
    "match",
    "Dynamo - Shakhtar",
    "Олімпійський",
    "Europe/Kyiv",
    EventStatus.CONFIRMED,
    at("2026-05-02T15:00:00Z"),
    at("2026-05-02T17:00:00Z"),
)
SOUTH = Checkpoint("c-south", "concert", "South gate", ticket_types=("standard",))
VIP = Checkpoint("c-vip", "concert", "VIP gate", ticket_types=("vip",))
WAY_OUT = Checkpoint("c-out", "concert", "Way out", direction=EXIT)
STADIUM = Checkpoint("c-stadium", "match", "Stadium gate")
OLENA, TARAS = Controller("u-1", "Олена"), Controller("u-2", "Тарас")
AT_SOUTH = Use(at("2026-05-01T15:40:00Z"), ENTRY, "c-south", "box-2")
CHOOSY = Policies(stale_after_s=600, on_stale=OnDoubt.REFUSE, on_clock=OnDoubt.REFUSE)
FIRST_USE_AT_SOUTH = {
    "first_at": "2026-05-01T15:40:00Z",
    "first_checkpoint": "South gate",
    "first_device": "box-2",
    "uses": 1,
}


@dataclass(frozen=True)
class Story:
    """`given` goes to the builder `facts`; `sees` is what the controller also sees."""

    told: str
    given: dict[str, Any]
    reason: Reason
    sees: dict[str, Any] = field(default_factory=dict)


STORIES = [
    Story("a torn barcode", {"readable": False, "known": False}, Reason.UNREADABLE),
    Story("a code nobody sold", {"known": False, "data_age_s": 340}, Reason.UNKNOWN_TICKET, {"data_age_s": 340}),
    Story(
        "a gate that never had a list",
        {"known": False, "data_age_s": None},
        Reason.UNKNOWN_TICKET,
        {"data_age_s": None},
    ),
    Story("money given back", {"ticket": {"state": TicketState.CANCELLED}}, Reason.CANCELLED),
    Story("stopped by the organiser", {"ticket": {"state": TicketState.BLOCKED}}, Reason.BLOCKED),
    Story("sent anew", {"ticket": {"state": TicketState.REVOKED}}, Reason.REVOKED),
    Story("booked, never paid", {"ticket": {"state": TicketState.UNPAID}}, Reason.UNPAID),
    *(
        Story(
            f"an event that is {status}",
            {"event": {"status": EventStatus(status)}},
            Reason.EVENT_NOT_OPEN,
            {
                "status": status,
                "event": "Океан Ельзи",
                "event_at": "2026-05-01T16:00:00Z",
                "event_tz": "Europe/Kyiv",
            },
        )
        for status in ("draft", "completed", "cancelled")
    ),
    Story(
        "a checkpoint whose event the CRM never sent",
        {"checkpoint": {"event": "ghost"}},
        Reason.EVENT_NOT_OPEN,
        {"status": "unknown"},
    ),
    Story(
        "tomorrow's match",
        {"ticket": {"event": "match"}, "also_events": [MATCH]},
        Reason.WRONG_EVENT,
        {"event": "Dynamo - Shakhtar", "event_at": "2026-05-02T15:00:00Z", "event_tz": "Europe/Kyiv"},
    ),
    Story(
        "an event that this gate has not heard of",
        {"ticket": {"event": "opera"}},
        Reason.WRONG_EVENT,
        {"event": "opera"},
    ),
    Story(
        "a standard ticket at the VIP gate",
        {"checkpoint": {"ticket_types": ("vip",)}, "also_checkpoints": [VIP, SOUTH, STADIUM, WAY_OUT]},
        Reason.WRONG_CHECKPOINT,
        {"checkpoints": ["South gate"], "unassigned": 0},
    ),
    Story(
        "in through the way out",
        {"checkpoint": {"direction": EXIT}, "also_checkpoints": [SOUTH, VIP]},
        Reason.WRONG_CHECKPOINT,
        {"checkpoints": ["South gate"], "unassigned": 0},
    ),
    Story(
        "out through the way in",
        {"direction": EXIT, "checkpoint": {"direction": ENTRY}, "also_checkpoints": [SOUTH, WAY_OUT]},
        Reason.WRONG_CHECKPOINT,
        {"checkpoints": ["South gate", "Way out"], "unassigned": 0},
    ),
    Story(
        "a type that no gate admits",
        {"checkpoint": {"ticket_types": ()}, "also_checkpoints": [VIP]},
        Reason.WRONG_CHECKPOINT,
        {"checkpoints": [], "unassigned": 0},
    ),
    Story(
        "a lane that works for no checkpoint",
        {"assigned": False},
        Reason.WRONG_CHECKPOINT,
        {"checkpoints": ["North gate"], "unassigned": 1},
    ),
    Story(
        "an evening ticket in the afternoon",
        {"ticket": {"valid_from": at("2026-05-01T16:02:00.000001Z")}},
        Reason.NOT_YET_VALID,
        {"valid_from": "2026-05-01T16:02:00.000001Z"},
    ),
    Story(
        "a morning ticket in the evening",
        {"ticket": {"valid_until": NOW}},
        Reason.EXPIRED,
        {"valid_until": "2026-05-01T16:02:00Z"},
    ),
    Story(
        "before the doors",
        {"checkpoint": {"hours": (Interval(at("2026-05-01T16:30:00Z"), at("2026-05-01T20:00:00Z")),)}},
        Reason.CHECKPOINT_CLOSED,
        {"opens_at": "2026-05-01T16:30:00Z"},
    ),
    Story(
        "as the gate closes",
        {"checkpoint": {"hours": (Interval(at("2026-05-01T12:00:00Z"), NOW),)}},
        Reason.CHECKPOINT_CLOSED,
        {"opens_at": None},
    ),
    Story("a gate with no hours", {"checkpoint": {"hours": ()}}, Reason.CHECKPOINT_CLOSED, {"opens_at": None}),
    Story(
        "nobody signed in",
        {"checkpoint": {"requires_controller": True, "controllers": ("u-2", "u-1")}, "staff": [OLENA, TARAS]},
        Reason.NO_CONTROLLER,
        {"controllers": ["Олена", "Тарас"]},
    ),
    Story(
        "the wrong person signed in",
        {
            "checkpoint": {"requires_controller": True, "controllers": ("u-1", "u-gone")},
            "staff": [OLENA, TARAS],
            "on_shift": frozenset({"u-2"}),
        },
        Reason.NO_CONTROLLER,
        {"controllers": ["Олена"]},
    ),
    Story(
        "anybody would do, and nobody came",
        {"checkpoint": {"requires_controller": True}, "staff": [OLENA, TARAS]},
        Reason.NO_CONTROLLER,
        {"controllers": ["Олена", "Тарас"]},
    ),
    Story(
        "a screenshot of a friend's ticket",
        {"uses": (AT_SOUTH,), "also_checkpoints": [SOUTH]},
        Reason.ALREADY_USED,
        FIRST_USE_AT_SOUTH,
    ),
    Story(
        "a pass handed back over the fence",
        {"uses": (AT_SOUTH,), "also_checkpoints": [SOUTH], "policy": {"reentry": Reentry.AFTER_EXIT}},
        Reason.PASSBACK,
        FIRST_USE_AT_SOUTH,
    ),
    Story(
        "a season card within the half hour",
        {
            "uses": (AT_SOUTH,),
            "also_checkpoints": [SOUTH],
            "policy": {"entries": None, "cooldown_s": 1800, "reentry": Reentry.ALWAYS},
        },
        Reason.TOO_SOON,
        {**FIRST_USE_AT_SOUTH, "again_at": "2026-05-01T16:10:00Z"},
    ),
    Story(
        "the four hundredth guest of a hall for 400",
        {"checkpoint": {"capacity": 400, "zone": "hall"}, "inside": 400},
        Reason.ZONE_FULL,
        {"inside": 400, "capacity": 400, "zone": "hall"},
    ),
    Story(
        "a list older than the organiser allows",
        {"checkpoint": {"policies": CHOOSY}, "data_age_s": 601},
        Reason.DATA_STALE,
        {"data_age_s": 601},
    ),
    Story(
        "a clock that lost its battery",
        {"checkpoint": {"policies": CHOOSY}, "clock": ClockTrust.UNKNOWN, "clock_skew_s": 7300},
        Reason.CLOCK_UNTRUSTED,
        {"clock": "unknown", "skew_s": 7300},
    ),
    Story("a guest in good order", {}, Reason.ADMITTED),
    Story("a guest going home", {"direction": EXIT, "uses": (AT_SOUTH,)}, Reason.EXITED),
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.reason}: {story.told}")
def test_the_gate_says_why(story: Story, facts: Callable[..., Facts]) -> None:
    verdict = decide(facts(**story.given), NOW)
    assert (verdict.reason, dict(verdict.detail)) == (story.reason, story.sees)
    expected = {Reason.ADMITTED: Admitted, Reason.EXITED: Exited}.get(story.reason, Refused)
    assert isinstance(verdict, expected)


def test_each_reason_that_a_read_can_meet_has_its_story() -> None:
    """In the design's order. An override is a supervisor's, and a missing passage the turnstile's."""
    told = list(dict.fromkeys(story.reason for story in STORIES))
    assert told == [reason for reason in Reason if reason is not Reason.OVERRIDE and reason not in NOT_A_VERDICT]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.reason}: {story.told}")
def test_the_verdict_carries_the_ticket_that_it_is_about(story: Story, facts: Callable[..., Facts]) -> None:
    """The screen shows holder and seat of a refused ticket too."""
    given_facts = facts(**story.given)
    assert decide(given_facts, NOW).ticket == given_facts.ticket


ROWS: list[set[Reason]] = [
    {Reason.UNREADABLE},
    {Reason.UNKNOWN_TICKET},
    {Reason.CANCELLED, Reason.BLOCKED, Reason.REVOKED, Reason.UNPAID},
    {Reason.EVENT_NOT_OPEN},
    {Reason.WRONG_EVENT},
    {Reason.WRONG_CHECKPOINT},
    {Reason.NOT_YET_VALID, Reason.EXPIRED},
    {Reason.CHECKPOINT_CLOSED},
    {Reason.NO_CONTROLLER},
    {Reason.ALREADY_USED, Reason.PASSBACK, Reason.TOO_SOON},
    {Reason.ZONE_FULL},
    {Reason.DATA_STALE, Reason.CLOCK_UNTRUSTED},
]
"""The numbered rows of section 5."""


def both(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Put two stories into one; where they differ, the first is right."""
    joined = {**second, **first}
    for part in ("ticket", "event", "checkpoint", "policy"):
        if part in joined:
            joined[part] = {**second.get(part, {}), **first.get(part, {})}
    return joined


def test_of_two_things_wrong_the_guest_hears_the_one_that_the_design_puts_first(facts: Callable[..., Facts]) -> None:
    first_told = {story.reason: story for story in reversed(STORIES)}
    pairs = [
        (first_told[reason], first_told[other])
        for row, later_rows in ((row, ROWS[number + 1 :]) for number, row in enumerate(ROWS))
        for reason in row
        for other in set().union(*later_rows)
    ]
    assert len(pairs) == 160
    for story, other in pairs:
        verdict = decide(facts(**both(story.given, other.given)), NOW)
        assert verdict.reason == story.reason, f"{story.told}, and {other.told}"


# --- neighbours of the stories: what just passes --------------------------------------------------------------------


@pytest.mark.parametrize(
    "given_facts",
    [
        pytest.param({"ticket": {"valid_from": NOW}}, id="from this instant on"),
        pytest.param({"ticket": {"valid_until": NOW + timedelta(microseconds=1)}}, id="until the very last instant"),
        pytest.param({"checkpoint": {"hours": (Interval(NOW, NOW + timedelta(hours=1)),)}}, id="as the doors open"),
        pytest.param({"checkpoint": {"hours": None}}, id="a gate that never closes"),
        pytest.param({"checkpoint": {"capacity": 400}, "inside": 399}, id="the last one in"),
        pytest.param({"inside": 10**9}, id="a zone without limit"),
        pytest.param({"checkpoint": {"direction": ENTRY, "ticket_types": ("standard",)}}, id="exactly this gate"),
        pytest.param(
            {"checkpoint": {"requires_controller": True, "controllers": ("u-1",)}, "on_shift": frozenset({"u-1"})},
            id="the one assigned has signed in",
        ),
        pytest.param(
            {"checkpoint": {"requires_controller": True}, "on_shift": frozenset({"u-9"})}, id="anybody would do"
        ),
        pytest.param({"checkpoint": {"controllers": ("u-1",)}}, id="assigned, but not required"),
        pytest.param({"checkpoint": {"policies": CHOOSY}, "data_age_s": 600}, id="a list just young enough"),
        pytest.param({"data_age_s": 10**7}, id="a list of any age"),
        pytest.param({"uses": (replace(AT_SOUTH, direction=EXIT),)}, id="left unseen, never entered"),
    ],
)
def test_what_just_passes_is_admitted(given_facts: dict[str, Any], facts: Callable[..., Facts]) -> None:
    verdict = decide(facts(**given_facts), NOW)
    assert isinstance(verdict, Admitted), verdict
    assert verdict.marks == ()


def test_doubts_that_the_checkpoint_lets_pass_mark_the_scan(facts: Callable[..., Facts]) -> None:
    doubtful = facts(checkpoint={"policies": Policies(stale_after_s=600)}, data_age_s=None, clock=ClockTrust.ESTIMATED)
    verdict = decide(doubtful, NOW)
    assert isinstance(verdict, Admitted)
    assert verdict.marks == (Reason.DATA_STALE, Reason.CLOCK_UNTRUSTED)


def test_one_doubt_may_pass_where_the_other_does_not(facts: Callable[..., Facts]) -> None:
    mixed = Policies(stale_after_s=600, on_clock=OnDoubt.REFUSE)
    verdict = decide(facts(checkpoint={"policies": mixed}, data_age_s=601, clock=ClockTrust.UNKNOWN), NOW)
    assert verdict == Refused(
        Reason.CLOCK_UNTRUSTED,
        {"clock": "unknown", "skew_s": None},
        verdict.ticket,
        marks=(Reason.DATA_STALE,),
    )


def test_a_type_that_the_crm_has_not_described_admits_once(
    facts: Callable[..., Facts], an_entry: Callable[..., Use]
) -> None:
    mystery = {"ticket": {"type": "mystery"}}
    assert decide(facts(**mystery), NOW).reason == Reason.ADMITTED
    assert decide(facts(**mystery, uses=(an_entry("2026-04-01T10:00:00Z"),)), NOW).reason == Reason.ALREADY_USED


def test_the_first_use_shown_is_the_first_entry_not_an_exit_before_it(
    facts: Callable[..., Facts], an_entry: Callable[..., Use]
) -> None:
    uses = (an_entry("2026-05-01T15:10:00Z", direction=EXIT), an_entry("2026-05-01T15:40:00Z"))
    assert decide(facts(uses=uses), NOW).detail["first_at"] == "2026-05-01T15:40:00Z"


def test_a_use_at_a_gate_that_is_gone_is_shown_by_its_id(
    facts: Callable[..., Facts], an_entry: Callable[..., Use]
) -> None:
    verdict = decide(facts(uses=(an_entry("2026-05-01T15:40:00Z", checkpoint="c-removed"),)), NOW)
    assert verdict.detail["first_checkpoint"] == "c-removed"


# --- a code that stands for several tickets -------------------------------------------------------------------------


class TestChoosingOfSeveral:
    """Two sellers printed the same code, each for its own event."""

    def chosen(self, facts: Callable[..., Facts], *tickets: Ticket, assigned: bool = True) -> Ticket | None:
        here = facts(also_events=[MATCH, replace(MATCH, id="derby", starts_at=at("2026-06-01T15:00:00Z"))])
        both_ways = {
            choose_ticket(order, here.checkpoint if assigned else None, here.plan, NOW)
            for order in (tickets, tickets[::-1])
        }
        assert len(both_ways) == 1, "the order of rows must not matter"
        return both_ways.pop()

    def test_none_of_none(self, facts: Callable[..., Facts]) -> None:
        assert self.chosen(facts) is None

    def test_ours_wins(self, facts: Callable[..., Facts], a_ticket: Callable[..., Ticket]) -> None:
        ours, theirs = a_ticket(), a_ticket(id="t-2", event="match")
        assert self.chosen(facts, ours, theirs) == ours

    def test_ours_wins_even_if_it_is_cancelled(
        self, facts: Callable[..., Facts], a_ticket: Callable[..., Ticket]
    ) -> None:
        ours, theirs = a_ticket(state=TicketState.CANCELLED), a_ticket(id="t-2", event="match")
        assert self.chosen(facts, ours, theirs) == ours

    def test_else_a_valid_one_is_spoken_of(self, facts: Callable[..., Facts], a_ticket: Callable[..., Ticket]) -> None:
        returned = a_ticket(id="t-2", event="match", state=TicketState.CANCELLED)
        valid = a_ticket(id="t-3", event="derby")
        assert self.chosen(facts, returned, valid) == valid

    def test_else_the_nearest_in_time(self, facts: Callable[..., Facts], a_ticket: Callable[..., Ticket]) -> None:
        tomorrow, next_month = a_ticket(id="t-2", event="match"), a_ticket(id="t-3", event="derby")
        unheard_of = a_ticket(id="t-0", event="opera")
        assert self.chosen(facts, next_month, unheard_of, tomorrow) == tomorrow

    def test_a_lane_without_checkpoint_has_one_to_speak_of(
        self, facts: Callable[..., Facts], a_ticket: Callable[..., Ticket]
    ) -> None:
        tonight, tomorrow = a_ticket(), a_ticket(id="t-2", event="match")
        assert self.chosen(facts, tomorrow, tonight, assigned=False) == tonight

    def test_the_guest_gets_in_on_ours_and_hears_of_theirs(
        self, facts: Callable[..., Facts], a_ticket: Callable[..., Ticket]
    ) -> None:
        here = facts(also_events=[MATCH])
        ours, theirs = a_ticket(), a_ticket(id="t-2", event="match")
        both, only_theirs = (
            decide(replace(here, ticket=choose_ticket(tickets, here.checkpoint, here.plan, NOW)), NOW)
            for tickets in ([theirs, ours], [theirs])
        )
        assert both == Admitted(ours)
        assert (only_theirs.reason, only_theirs.detail["event"]) == (Reason.WRONG_EVENT, "Dynamo - Shakhtar")


# --- days, nights and waits -----------------------------------------------------------------------------------------

DAY_PASS = {"per": Per.DAY}
ANY_HOUR = {"hours": None}


@pytest.mark.parametrize(
    ("tz", "used", "now", "reason"),
    [
        pytest.param(
            "Europe/Kyiv", "2026-05-01T20:59", "2026-05-01T21:00", Reason.ADMITTED, id="midnight is a new day"
        ),
        pytest.param("Europe/Kyiv", "2026-04-30T21:00", "2026-05-01T20:59", Reason.ALREADY_USED, id="all day long"),
        pytest.param(
            "Europe/Kyiv", "2026-05-01T23:59", "2026-05-02T00:01", Reason.ALREADY_USED, id="not UTC's midnight"
        ),
        pytest.param("Europe/Kyiv", "2026-05-01T21:00", "2026-05-01T20:59", Reason.ADMITTED, id="a box in tomorrow"),
        # Kyiv, 29 March: 23 hours, from 22:00Z to 21:00Z.
        pytest.param("Europe/Kyiv", "2026-03-28T22:00", "2026-03-29T20:59", Reason.ALREADY_USED, id="Kyiv short day"),
        pytest.param("Europe/Kyiv", "2026-03-28T22:00", "2026-03-29T21:00", Reason.ADMITTED, id="Kyiv 23 hours later"),
        # Kyiv, 25 October: 25 hours, from 21:00Z to 22:00Z.
        pytest.param("Europe/Kyiv", "2026-10-24T21:00", "2026-10-25T21:59", Reason.ALREADY_USED, id="Kyiv long day"),
        pytest.param("Europe/Kyiv", "2026-10-24T21:00", "2026-10-25T22:00", Reason.ADMITTED, id="Kyiv 25 hours later"),
        # Chicago, 8 March: 23 hours, from 06:00Z to 05:00Z.
        pytest.param(
            "America/Chicago", "2026-03-08T06:00", "2026-03-09T04:59", Reason.ALREADY_USED, id="Chicago short"
        ),
        pytest.param("America/Chicago", "2026-03-08T06:00", "2026-03-09T05:00", Reason.ADMITTED, id="Chicago 23 hours"),
        # Chicago, 1 November: 25 hours, from 05:00Z to 06:00Z.
        pytest.param("America/Chicago", "2026-11-01T05:00", "2026-11-02T05:59", Reason.ALREADY_USED, id="Chicago long"),
        pytest.param("America/Chicago", "2026-11-01T05:00", "2026-11-02T06:00", Reason.ADMITTED, id="Chicago 25 hours"),
        # Havana, 1 November: 00:00 comes twice and is one day.
        pytest.param("America/Havana", "2026-11-01T04:10", "2026-11-01T05:10", Reason.ALREADY_USED, id="00:10 twice"),
        # Newfoundland, 2006: at 00:01 it was 23:01 again.
        pytest.param(
            "America/St_Johns", "2006-10-29T02:30:30", "2006-10-29T03:00", Reason.ALREADY_USED, id="day on loan"
        ),
        pytest.param(
            "America/St_Johns", "2006-10-29T02:45", "2006-10-29T02:50", Reason.ALREADY_USED, id="23:15, 23:20"
        ),
    ],
)
def test_a_day_pass_admits_once_each_local_day(
    tz: str, used: str, now: str, reason: Reason, facts: Callable[..., Facts], an_entry: Callable[..., Use]
) -> None:
    scanned = facts(event={"tz": tz}, checkpoint=ANY_HOUR, policy=DAY_PASS, uses=(an_entry(f"{used}Z"),))
    assert decide(scanned, at(f"{now}Z")).reason == reason


def test_a_day_pass_shows_todays_first_use_not_last_weeks(
    facts: Callable[..., Facts], an_entry: Callable[..., Use]
) -> None:
    uses = tuple(an_entry(each) for each in ("2026-04-24T16:00:00Z", "2026-05-01T15:10:00Z", "2026-05-01T15:50:00Z"))
    verdict = decide(facts(policy={**DAY_PASS, "entries": 2}, uses=uses), NOW)
    assert verdict.reason == Reason.ALREADY_USED
    assert (verdict.detail["first_at"], verdict.detail["uses"]) == ("2026-05-01T15:10:00Z", 2)


@pytest.mark.parametrize(
    ("now", "reason", "again_at"),
    [
        pytest.param("2026-05-01T20:50:01Z", Reason.ALREADY_USED, None, id="23:50:01, the day's entry is gone"),
        pytest.param("2026-05-01T21:10:00Z", Reason.TOO_SOON, "2026-05-01T21:50:00Z", id="00:10, a new day, too soon"),
        pytest.param("2026-05-01T21:49:59.999999Z", Reason.TOO_SOON, "2026-05-01T21:50:00Z", id="00:49:59"),
        pytest.param("2026-05-01T21:50:00Z", Reason.ADMITTED, None, id="00:50 on the dot"),
    ],
)
def test_a_cooldown_goes_on_across_midnight(
    now: str, reason: Reason, again_at: str | None, facts: Callable[..., Facts], an_entry: Callable[..., Use]
) -> None:
    policy = {**DAY_PASS, "cooldown_s": 3600}
    verdict = decide(facts(checkpoint=ANY_HOUR, policy=policy, uses=(an_entry("2026-05-01T20:50:00Z"),)), at(now))
    assert (verdict.reason, verdict.detail.get("again_at")) == (reason, again_at)


def test_a_cooldown_counts_from_the_latest_entry_and_not_from_an_exit(
    facts: Callable[..., Facts], an_entry: Callable[..., Use]
) -> None:
    policy = {"entries": None, "cooldown_s": 600}
    uses = (
        an_entry("2026-05-01T15:10:00Z"),
        an_entry("2026-05-01T15:52:00Z"),
        an_entry("2026-05-01T16:01:00Z", direction=EXIT),
    )
    assert decide(facts(policy=policy, uses=uses), NOW - timedelta(microseconds=1)).reason == Reason.TOO_SOON
    assert decide(facts(policy=policy, uses=uses), NOW).reason == Reason.ADMITTED


def test_without_a_cooldown_a_box_whose_clock_runs_ahead_delays_nobody(
    facts: Callable[..., Facts], an_entry: Callable[..., Use]
) -> None:
    ahead = an_entry("2026-05-01T16:02:30Z", device="box-2")
    assert decide(facts(policy={"entries": None}, uses=(ahead,)), NOW).reason == Reason.ADMITTED


def test_a_nonsense_time_from_elsewhere_still_gives_a_verdict(
    facts: Callable[..., Facts], an_entry: Callable[..., Use]
) -> None:
    uses = (an_entry("9999-12-31T23:59:59Z"),)
    assert decide(facts(policy={"entries": None, "cooldown_s": 60}, uses=uses), NOW).reason == Reason.TOO_SOON


def test_no_entries_admits_nobody(facts: Callable[..., Facts]) -> None:
    for reentry in Reentry:
        assert decide(facts(policy={"entries": 0, "reentry": reentry}), NOW).reason == Reason.ALREADY_USED


# --- evenings of many scans -----------------------------------------------------------------------------------------

Scans = list[tuple[int, Direction]]
evenings: st.SearchStrategy[Scans] = st.lists(
    st.tuples(st.integers(0, 4000), st.sampled_from((ENTRY, ENTRY, EXIT))), max_size=30
)
"""Seconds since the scan before, and which way."""


def evening(facts: Callable[..., Facts], policy: dict[str, Any], scans: Scans, tz: str = "Europe/Kyiv") -> list[Use]:
    """Scan one ticket again and again, as the gate does: what is let through is on record for the next scan."""
    uses: list[Use] = []
    now = NOW
    for wait_s, direction in scans:
        now += timedelta(seconds=wait_s)
        here = facts(event={"tz": tz}, checkpoint=ANY_HOUR, policy=policy, uses=tuple(uses), direction=direction)
        if not isinstance(decide(here, now), Refused):
            uses.append(Use(now, direction, "c-north"))
    return uses


def entries_of(uses: list[Use]) -> list[Use]:
    return [use for use in uses if use.direction is ENTRY]


@steady
@given(scans=evenings)
def test_a_one_entry_ticket_is_admitted_once_whatever_happens(facts: Callable[..., Facts], scans: Scans) -> None:
    tried = any(direction is ENTRY for _, direction in scans)
    assert len(entries_of(evening(facts, {}, scans))) == int(tried)


@steady
@given(scans=evenings, entries=st.integers(1, 5))
def test_a_ticket_for_several_entries_is_admitted_so_often(
    facts: Callable[..., Facts], scans: Scans, entries: int
) -> None:
    tried = sum(direction is ENTRY for _, direction in scans)
    assert len(entries_of(evening(facts, {"entries": entries}, scans))) == min(tried, entries)


@steady
@given(scans=evenings, entries=st.none() | st.integers(1, 3))
def test_after_exit_never_has_more_inside_than_allowed(
    facts: Callable[..., Facts], scans: Scans, entries: int | None
) -> None:
    """Counted from any scan to any later one, so that exits of people who never entered cannot be saved up."""
    uses = evening(facts, {"entries": entries, "reentry": Reentry.AFTER_EXIT}, scans)
    steps = [1 if use.direction is ENTRY else -1 for use in uses]
    for start in range(len(steps)):
        for end in range(start, len(steps)):
            assert sum(steps[start : end + 1]) <= (entries or 1)


@steady
@given(waits=st.lists(st.integers(0, 4000), max_size=20))
def test_after_exit_lets_a_guest_out_and_in_all_night(facts: Callable[..., Facts], waits: list[int]) -> None:
    scans = [(wait_s, EXIT if number % 2 else ENTRY) for number, wait_s in enumerate(waits)]
    assert len(evening(facts, {"reentry": Reentry.AFTER_EXIT}, scans)) == len(scans)


@steady
@given(scans=evenings, reentry=st.sampled_from((Reentry.NEVER, Reentry.ALWAYS)))
def test_an_unlimited_ticket_is_never_refused(facts: Callable[..., Facts], scans: Scans, reentry: Reentry) -> None:
    assert len(evening(facts, {"entries": None, "reentry": reentry}, scans)) == len(scans)


@steady
@given(scans=evenings)
def test_reentry_always_admits_again_after_the_first(facts: Callable[..., Facts], scans: Scans) -> None:
    assert len(evening(facts, {"reentry": Reentry.ALWAYS}, scans)) == len(scans)


@steady
@given(scans=evenings, cooldown_s=st.integers(1, 8000), reentry=st.sampled_from(Reentry))
def test_two_entries_are_never_closer_than_the_cooldown(
    facts: Callable[..., Facts], scans: Scans, cooldown_s: int, reentry: Reentry
) -> None:
    policy = {"entries": None, "reentry": reentry, "cooldown_s": cooldown_s}
    entered = entries_of(evening(facts, policy, scans))
    gaps = [later.at - earlier.at for earlier, later in pairwise(entered)]
    assert all(gap >= timedelta(seconds=cooldown_s) for gap in gaps)


@steady
@given(scans=st.lists(st.tuples(st.integers(0, 40_000), st.just(ENTRY)), max_size=30))
def test_a_day_pass_is_admitted_once_each_day_that_it_is_shown(facts: Callable[..., Facts], scans: Scans) -> None:
    instant, shown = NOW, set[date]()
    zone = ZoneInfo("Europe/Kyiv")
    for wait_s, _ in scans:
        instant += timedelta(seconds=wait_s)
        shown.add(instant.astimezone(zone).date())
    entered = [use.at.astimezone(zone).date() for use in entries_of(evening(facts, dict(DAY_PASS), scans))]
    assert entered == sorted(shown)


# --- any facts at all -----------------------------------------------------------------------------------------------

IDS = ("concert", "match", "ghost")
TYPES = ("standard", "vip", "mystery")
PEOPLE = ("u-1", "u-2", "u-9")
ZONES = ("Europe/Kyiv", "America/Chicago", "America/Havana", "UTC")
SPECIAL_NIGHTS = (
    "2026-03-29T00:30Z",
    "2026-05-01T16:02Z",
    "2026-10-25T00:30Z",
    "2026-11-01T05:30Z",
    "2026-11-02T05:30Z",
)
Read = tuple[dict[str, Any], datetime]
"""What the builder `facts` is given, and now."""


def some_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


offsets = st.builds(
    lambda hours, off_s: timedelta(hours=hours, seconds=off_s), st.integers(-24, 24), some_of(0, 0, 0, -1, 1)
)
"""Coarse, so that now and the times of the facts often meet to the second."""


@cache
def oddities(night: str | None) -> dict[str, st.SearchStrategy[dict[str, Any]]]:
    """Map what may be out of order to what the builder is then given; `a.b` is field b of its part a.

    The CRM's times are around `night`, or, without one, from the years 1 to 9999.
    """
    instants = offsets.map(at(night).__add__) if night else st.datetimes(timezones=st.just(UTC))
    intervals = st.lists(st.builds(Interval, instants, instants), max_size=3).map(tuple)
    people = st.lists(some_of(*PEOPLE), max_size=2).map(tuple)
    uses = st.lists(
        st.builds(Use, instants, some_of(ENTRY, EXIT), some_of("c-north", "c-9", None), some_of("box-2", None)),
        max_size=5,
    ).map(lambda made: tuple(sorted(made, key=lambda use: use.at)))
    given_by = st.fixed_dictionaries
    return {
        "read": given_by({"readable": st.just(False)}),
        "ticket": given_by({"known": st.just(False), "data_age_s": some_of(None, 0, 10**6)}),
        "state": given_by({"ticket.state": some_of(*TicketState)}),
        "status": given_by({"event.status": some_of(*EventStatus)}),
        "event": given_by({"ticket.event": some_of(*IDS)}),
        "gate's event": given_by({"checkpoint.event": some_of(*IDS)}),
        "words": given_by({"event.name": st.text(max_size=5), "checkpoint.name": st.text(max_size=5)}),
        "tz": given_by({"event.tz": some_of(*ZONES)}),
        "lane": given_by({"assigned": st.just(False)}),
        "ways": given_by({"checkpoint.direction": some_of(*Direction), "direction": some_of(ENTRY, EXIT)}),
        "way": given_by({"direction": st.just(EXIT)}),
        "type": given_by({"ticket.type": some_of(*TYPES)}),
        "types": given_by({"checkpoint.ticket_types": st.lists(some_of(*TYPES), max_size=3).map(tuple)}),
        "from": given_by({"ticket.valid_from": instants}),
        "until": given_by({"ticket.valid_until": instants}),
        "hours": given_by({"checkpoint.hours": intervals}),
        "staff": given_by(
            {
                "checkpoint.requires_controller": st.just(True),
                "checkpoint.controllers": st.none() | people,
                "on_shift": st.frozensets(some_of(*PEOPLE), max_size=2),
                "staff": st.lists(some_of(OLENA, TARAS), max_size=2),
            }
        ),
        "usage": given_by(
            {
                "uses": uses,
                "policy.entries": some_of(None, 0, 1, 1, 2),
                "policy.per": some_of(*Per),
                "policy.reentry": some_of(*Reentry),
                "policy.cooldown_s": some_of(0, 60, 7200, 31_536_000),
            }
        ),
        "pass": given_by({"uses": uses, "policy.reentry": st.just(Reentry.AFTER_EXIT)}),
        "room": given_by({"checkpoint.capacity": st.integers(0, 2), "inside": st.integers(0, 2)}),
        "doubt": given_by(
            {
                "checkpoint.policies": st.builds(Policies, some_of(None, 0, 60), some_of(*OnDoubt), some_of(*OnDoubt)),
                "data_age_s": some_of(None, 0, 60, 61),
                "clock": some_of(*ClockTrust),
                "clock_skew_s": some_of(None, 0, -7201, 10**9),
            }
        ),
    }


@st.composite
def reads(draw: st.DrawFn, *, at_most: int, any_year: bool = False) -> Read:
    """Draw a read with up to `at_most` things out of order; in `any_year` the CRM's times are from years 1 to 9999."""
    night = draw(some_of(*SPECIAL_NIGHTS))
    now = at(night) + draw(offsets)
    choice = oddities(None if any_year else night)
    given_facts: dict[str, Any] = {"checkpoint": {"hours": None}, "also_events": [MATCH], "also_checkpoints": [SOUTH]}
    for odd in sorted(draw(st.sets(st.sampled_from(sorted(choice)), max_size=at_most))):
        for name, value in draw(choice[odd]).items():
            part, _, inner = name.partition(".")
            if inner:
                given_facts.setdefault(part, {})[inner] = value
            else:
                given_facts[part] = value
    return given_facts, now


@steady
@given(read=reads(at_most=18, any_year=True))
def test_every_read_gets_a_verdict_and_words_in_each_language(read: Read, facts: Callable[..., Facts]) -> None:
    here, now = facts(**read[0]), read[1]
    verdict = decide(here, now)
    assert isinstance(verdict, Admitted | Exited | Refused)
    assert decide(here, now) == verdict
    for language in get_args(Language):
        message = explain(verdict.reason, verdict.detail, language, here.event.zone if here.event else UTC, now)
        assert message.title.strip()
        assert message.text.strip()


def test_the_first_rule_of_the_design_wins(facts: Callable[..., Facts]) -> None:
    """Several things out of order at once; in the end each outcome that the design names must have come up."""
    met: set[Reason] = set()

    @settings(derandomize=True, max_examples=1500, deadline=None)
    @given(read=reads(at_most=5))
    def scan(read: Read) -> None:
        here, now = facts(**read[0]), read[1]
        expected = first_in_design(here, now)
        assert decide(here, now).reason == expected
        met.add(expected)

    scan()
    assert met == set(Reason) - {Reason.OVERRIDE} - NOT_A_VERDICT


@steady
@given(read=reads(at_most=8))
def test_an_exit_is_never_refused_for_hours_validity_entries_or_room(read: Read, facts: Callable[..., Facts]) -> None:
    verdict = decide(facts(**{**read[0], "direction": EXIT}), read[1])
    assert not isinstance(verdict, Admitted)
    assert verdict.reason not in {
        Reason.NOT_YET_VALID,
        Reason.EXPIRED,
        Reason.CHECKPOINT_CLOSED,
        Reason.ALREADY_USED,
        Reason.PASSBACK,
        Reason.TOO_SOON,
        Reason.ZONE_FULL,
    }


def first_in_design(here: Facts, now: datetime) -> Reason:
    """Say what design.md section 5 says, row by row, sharing nothing with the code under test."""
    if not here.readable:
        return Reason.UNREADABLE
    if here.ticket is None:
        return Reason.UNKNOWN_TICKET
    ticket, gate, entering = here.ticket, here.checkpoint, here.direction is ENTRY
    event = here.plan.events.get(gate.event) if gate else None
    return next(
        Reason(reason)
        for reason, applies in (
            (ticket.state.value, ticket.state.value != "valid"),
            ("event_not_open", gate and (event is None or event.status.value != "confirmed")),
            ("wrong_event", gate and ticket.event != gate.event),
            ("wrong_checkpoint", gate is None),
            ("wrong_checkpoint", gate and gate.direction.value not in ("both", here.direction.value)),
            ("wrong_checkpoint", gate and gate.ticket_types is not None and ticket.type not in gate.ticket_types),
            ("not_yet_valid", entering and ticket.valid_from and ticket.valid_from > now),
            ("expired", entering and ticket.valid_until and ticket.valid_until <= now),
            ("checkpoint_closed", entering and gate and outside(gate, now)),
            ("no_controller", gate and gate.requires_controller and not staffed(gate, here.on_shift)),
            (spent(here, now), entering and spent(here, now) != "free"),
            ("zone_full", entering and gate and gate.capacity is not None and gate.capacity <= here.inside),
            ("data_stale", gate and gate.policies.on_stale.value == "refuse" and too_old(gate, here.data_age_s)),
            ("clock_untrusted", gate and gate.policies.on_clock.value == "refuse" and here.clock.value != "trusted"),
            ("admitted", entering),
            ("exited", True),
        )
        if applies
    )


def outside(gate: Checkpoint, now: datetime) -> bool:
    return gate.hours is not None and not [
        each for each in gate.hours if not now < each.opens_at and now < each.closes_at
    ]


def staffed(gate: Checkpoint, on_shift: frozenset[str]) -> bool:
    return bool(on_shift if gate.controllers is None else on_shift & set(gate.controllers))


def too_old(gate: Checkpoint, age_s: int | None) -> bool:
    limit = gate.policies.stale_after_s
    return limit is not None and (age_s is None or age_s > limit)


def spent(here: Facts, now: datetime) -> str:
    """Say which entry policy stands in the way, or `free`."""
    kind = here.plan.ticket_types.get(here.ticket.type) if here.ticket else None
    policy = kind.entry_policy if kind else EntryPolicy(1, Per.EVENT, Reentry.NEVER, 0)
    event = here.event
    uses = list(here.uses)
    if policy.per is Per.DAY and event:
        uses = [use for use in uses if use.at.astimezone(event.zone).date() == now.astimezone(event.zone).date()]
    entered = len(entries_of(uses))
    limit = policy.entries
    if limit == 0 or (policy.reentry is Reentry.NEVER and limit is not None and entered >= limit):
        return "already_used"
    if policy.reentry is Reentry.AFTER_EXIT:
        steps = [1 if use.direction is ENTRY else -1 for use in uses]
        # Those inside now: the most that any tail of the day adds up to, since an exit of nobody counts for nothing.
        inside = max((sum(steps[start:]) for start in range(len(steps) + 1)), default=0)
        if inside >= (limit or 1):
            return "passback"
    latest = max((use.at for use in here.uses if use.direction is ENTRY), default=None)
    if latest and policy.cooldown_s and now - latest < timedelta(seconds=policy.cooldown_s):
        return "too_soon"
    return "free"
