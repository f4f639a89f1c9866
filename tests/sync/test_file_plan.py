"""A plan written by hand beside the barcode files: what it comes to, what it leaves out, every problem by its key."""

import json
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from edge.core.barcodes import lookup_of, lookup_text
from sync.errors import BadFeed, LinkDown
from sync.file_plan import FilePlan, Owner, load_plan
from sync.lines import parse_line
from tests.sync.book import KEY

OWNER = Owner("d-1", KEY, "North 1", "seller", "Europe/Kyiv")
WHOLE = """
[[event]]
id = "concert"
name = "Spring concert"
venue = "Palace"
tz = "Europe/Warsaw"
starts_at = 2026-11-23T19:00:00
ends_at = 2026-11-23T23:00:00+02:00

[[ticket_type]]
id = "pass"
name = "Two-day pass"
entry_policy = { entries = "unlimited", per = "day", reentry = "after_exit", cooldown_s = 60 }

[[ticket_type]]
id = "standard"

[[checkpoint]]
id = "north"
name = "North gate"
direction = "entry"
ticket_types = ["standard"]
hours = [{ opens_at = 2026-11-23T18:00:00, closes_at = "2026-11-23T21:30Z" }]
controllers = ["taras"]
requires_controller = true
policies = { stale_after_s = 600, on_stale = "refuse" }
lanes = ["north-1", "north-2"]

[[checkpoint]]
id = "south"
lanes = ["south-1"]

[[controller]]
id = "taras"
name = "Taras"
badge = "BADGE-TARAS"
pin = "2468"
supervisor = true
"""


def load(folder: Path, text: str, name: str = "plan.toml") -> FilePlan:
    (folder / name).write_text(text)
    return load_plan(folder / name, OWNER)


def lines_of(plan: FilePlan) -> list[dict[str, Any]]:
    """Read the lines as a gate does, which names what breaks the Gate API."""
    for number, line in enumerate(plan.lines, 1):
        parsed = parse_line(line.encode(), number)
        assert parsed is not None
        assert parsed.unknown_fields() == 0
    return [json.loads(line) for line in plan.lines]


def problems(folder: Path, text: str, name: str = "plan.toml") -> str:
    with pytest.raises(BadFeed) as caught:
        load(folder, text, name)
    return str(caught.value)


# --- what it comes to -----------------------------------------------------------------------------------------------


def test_no_plan_is_one_event_that_is_always_open_and_one_checkpoint_for_all() -> None:
    plan = load_plan(None, OWNER)
    event, checkpoint, assignment = lines_of(plan)
    assert (event["name"], event["tz"], event["status"]) == ("seller", "Europe/Kyiv", "confirmed")
    assert (event["starts_at"], event["ends_at"]) == ("1970-01-01T00:00:00Z", "9999-12-31T00:00:00Z")
    assert (checkpoint["name"], checkpoint["event"], checkpoint["hours"]) == ("North 1", event["id"], None)
    assert assignment == {"kind": "assignment", "device": "d-1", "lane": None, "checkpoint": checkpoint["id"]}
    (only,) = plan.events
    assert (only.types, only.takes("whatever.csv"), plan.zone.key) == (None, True, "Europe/Kyiv")


def test_a_whole_plan(tmp_path: Path) -> None:
    plan = load(tmp_path, WHOLE)
    event, passes, standard, north, south, taras, *places = lines_of(plan)
    assert (event["starts_at"], event["ends_at"]) == ("2026-11-23T18:00:00Z", "2026-11-23T21:00:00Z")
    assert passes["entry_policy"] == {"entries": None, "per": "day", "reentry": "after_exit", "cooldown_s": 60}
    assert (standard["name"], standard["event"], standard["entry_policy"]["entries"]) == ("standard", "concert", 1)
    assert north["hours"] == [{"opens_at": "2026-11-23T17:00:00Z", "closes_at": "2026-11-23T21:30:00Z"}]
    assert north["policies"] == {"stale_after_s": 600, "on_stale": "refuse", "on_clock": "admit"}
    assert (north["ticket_types"], north["controllers"], north["requires_controller"]) == (
        ["standard"],
        ["taras"],
        True,
    )
    assert (south["name"], south["direction"], south["hours"], south["ticket_types"]) == ("south", "both", None, None)
    assert taras["badge"] == lookup_text(lookup_of(KEY, "BADGE-TARAS"))
    assert PasswordHasher().verify(taras["pin"], "2468")
    assert [(each["lane"], each["checkpoint"]) for each in places] == [
        ("north-1", "north"),
        ("north-2", "north"),
        ("south-1", "south"),
    ]
    assert plan.events[0].types == {"pass": "Two-day pass", "standard": "standard"}
    assert plan.zone.key == "Europe/Warsaw"


def test_a_plan_may_be_json(tmp_path: Path) -> None:
    tables = {"event": {"name": "Concert"}, "checkpoint": [{"id": "a", "hours": []}]}
    event, checkpoint, assignment = lines_of(load(tmp_path, json.dumps(tables), "plan.json"))
    assert (event["name"], checkpoint["hours"], assignment["checkpoint"]) == ("Concert", [], "a")


def test_a_pin_may_be_hashed_already(tmp_path: Path) -> None:
    phc = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("1357")
    plan = load(tmp_path, f'[[controller]]\nid = "a"\nname = "A"\npin = "{phc}"\n')
    assert lines_of(plan)[2]["pin"] == phc


def test_ids_of_what_is_left_out_stay_when_names_change(tmp_path: Path) -> None:
    ids = [
        [line.get("id") for line in lines_of(load(tmp_path, f'[event]\nname = "{name}"'))] for name in ("Old", "New")
    ]
    assert ids[0] == ids[1]


def test_types_that_the_files_name_are_named_as_they_are_there(tmp_path: Path) -> None:
    plan = load(tmp_path, '[checkpoint]\nid = "a"\nticket_types = ["VIP"]')
    assert lines_of(plan)[1]["ticket_types"] == ["vip"]


def test_files_belong_to_the_events_that_name_them(tmp_path: Path) -> None:
    text = """
[[event]]
id = "a"
name = "A"
starts_at = 2026-11-23T19:00:00
files = ["a*.csv", "both.csv"]
[[event]]
id = "b"
name = "B"
starts_at = 2026-11-24T19:00:00
files = ["*.TSV", "both.csv"]
[[checkpoint]]
id = "gate"
event = "b"
ticket_types = ["VIP"]
"""
    plan = load(tmp_path, text)
    first, second = plan.events
    assert lines_of(plan)[2]["ticket_types"] == ["b:vip"]
    assert (first.prefix, second.prefix) == ("a:", "b:")
    taken = [(first.takes(name), second.takes(name)) for name in ("A1.csv", "b.tsv", "both.csv", "a.tsv", "c.csv")]
    assert taken == [(True, False), (False, True), (True, True), (False, True), (False, False)]


def test_its_digest_is_of_all_that_it_is_made_of(tmp_path: Path) -> None:
    digests = [load(tmp_path, text).digest for text in (WHOLE, WHOLE, WHOLE.replace("2468", "2469"))]
    assert digests[0] == digests[1] != digests[2]
    owners = [OWNER, Owner("d-2", KEY, "North 1", "seller", "UTC"), Owner("d-1", bytes(32), "North 1", "seller", "UTC")]
    assert len({load_plan(None, owner).digest for owner in owners}) == 3


# --- what is wrong with it ------------------------------------------------------------------------------------------


def test_every_problem_of_its_form_is_named_at_once(tmp_path: Path) -> None:
    text = problems(
        tmp_path,
        """
[[event]]
nam = "Concert"
tz = "Kyiv"
[[checkpoint]]
id = "a"
hours = [{ opens_at = 18 }]
[[controller]]
id = ""
name = "A"
[[ticket_type]]
id = "x"
entry_policy = { entries = -1, reentry = "sometimes", cooldown = 5 }
""",
    )
    assert text.startswith("plan.toml: 9 problems: ")
    for each in (
        "event.0.name: missing; add it",
        "event.0.nam: no such key; did you mean name?",
        "event.0.tz: tz is an IANA zone name, such as Europe/Kyiv",
        "checkpoint.0.hours.0.opens_at: an instant is a date and a time",
        "checkpoint.0.hours.0.closes_at: missing; add it",
        "controller.0.id: string should have at least 1 character",
        "ticket_type.0.entry_policy.entries: input should be greater than or equal to 0",
        "ticket_type.0.entry_policy.reentry: input should be 'never', 'after_exit' or 'always'",
        "ticket_type.0.entry_policy.cooldown: no such key; did you mean cooldown_s?",
    ):
        assert each in text


def test_every_problem_of_its_sense_is_named_at_once(tmp_path: Path) -> None:
    text = problems(
        tmp_path,
        """
[[event]]
id = "a"
name = "A"
starts_at = "tomorrow"
files = ["*"]
[[event]]
id = "b"
name = "B"
starts_at = 2026-05-01T21:00:00Z
ends_at = 2026-05-01T20:00:00Z
[[ticket_type]]
id = "x"
event = "a"
[[ticket_type]]
id = "y"
[[checkpoint]]
id = "c"
event = "a"
ticket_types = ["y"]
controllers = ["nobody"]
hours = [{ opens_at = 2026-05-01T21:00:00, closes_at = 2026-05-01T21:00:00 }]
lanes = ["1"]
[[checkpoint]]
id = "c"
event = "z"
lanes = ["1"]
[[controller]]
id = "p"
name = "P"
badge = " "
pin = "12"
""",
    )
    for each in (
        "event.0.starts_at: 'tomorrow' is not an instant",
        'event.1.files: missing; name those with its tickets, such as ["concert*.csv"]',
        "event.1.ends_at: must be after starts_at",
        "ticket_type.1.event: missing; there are several; use one of a, b",
        "checkpoint.id: c is there twice; give each its own id",
        "checkpoint.0.ticket_types: y is no ticket type of a",
        "checkpoint.0.controllers: nobody is no controller of this plan",
        "checkpoint.0.hours.0: closes_at must be after opens_at",
        "checkpoint.1.event: z is no event of this plan; use one of a, b",
        "checkpoint.1.lanes: 1 works at c already",
        "controller.0.badge: the code on the badge, 1 to 4,096 characters that print",
        "controller.0.pin: 4 to 12 digits in quotes",
    ):
        assert each in text
    assert text.startswith("plan.toml: 12 problems: ")


def test_several_events_need_a_checkpoint(tmp_path: Path) -> None:
    event = '[[event]]\nid = "%s"\nname = "A"\nstarts_at = 2026-05-01T21:00:00\nfiles = ["*"]\n'
    assert problems(tmp_path, event % "a" + event % "b") == (
        "plan.toml: 1 problem: checkpoint: missing; say for which event the gate works"
    )


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("plan.toml", "[event", "plan.toml: not TOML: "),
        ("plan.json", "{", "plan.json: not JSON: "),
        ("plan.json", "[" * 100_000, "plan.json: not JSON: "),
        ("plan.json", "[]", "plan.json: 1 problem: "),
        ("plan.toml", "#" * (1 << 20) + "#", "plan.toml: longer than 1048576 bytes"),
    ],
)
def test_what_is_no_plan_is_said(tmp_path: Path, name: str, text: str, said: str) -> None:
    assert problems(tmp_path, text, name).startswith(said)


def test_a_plan_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_bytes(b"\xff")
    with pytest.raises(BadFeed, match=r"plan\.toml: not UTF-8 \(byte 0\)"):
        load_plan(tmp_path / "plan.toml", OWNER)
    with pytest.raises(LinkDown, match=r"nowhere\.toml: No such file") as found:
        load_plan(tmp_path / "nowhere.toml", OWNER)
    assert not isinstance(found.value, BadFeed), "which would be remembered until the plan is another"
