"""Who stands at the gate: badges, PINs, shifts, and those who try PINs."""

import asyncio

import pytest
from argon2 import PasswordHasher

from edge.core.barcodes import lookup_of, lookup_text
from edge.core.model import Checkpoint, Controller
from edge.people import FAILURES_S, MOST_FAILURES, NotKnown, People, _affordable
from tests.edge.conftest import ADMITTED, EVENING, KEY, Venue, open_venue, said

PIN = "2468"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Costs nothing, so that tests do not: a CRM's are dearer."""
STAFFED = Checkpoint(
    "c-north", "concert", "North gate", hours=(EVENING,), controllers=("olena", "taras"), requires_controller=True
)


@pytest.fixture
async def people(venue: Venue) -> People:
    """A gate that needs Olena (PIN) or Taras (badge); Ivan works elsewhere."""
    pin = CHEAP.hash(PIN)
    await venue.puts(
        "controller",
        Controller("olena", "Олена Коваль", pin=pin),
        Controller("taras", "Тарас Шевчук", badge=lookup_text(lookup_of(KEY, "BADGE-1")), supervisor=True),
        Controller("ivan", "Іван Мазепа", pin=pin),
    )
    await venue.puts("checkpoint", STAFFED)
    await venue.sells("T-1", "T-2")
    return People(venue.store, venue.clock)


async def test_nobody_is_admitted_before_an_assigned_controller_signs_in(venue: Venue, people: People) -> None:
    lane = venue.lane()
    refused = await lane.offer("T-1")
    assert said(refused) == ("refused", "no_controller")
    assert refused.scan.facts == {"controllers": ["Олена Коваль", "Тарас Шевчук"]}
    await people.sign_in("north-1", await people.identify(controller="olena", pin=PIN))
    admitted = await lane.offer("T-1")
    assert (said(admitted), admitted.scan.controller) == (ADMITTED, "olena")
    await people.sign_out("north-1")
    assert said(await lane.offer("T-2")) == ("refused", "no_controller")


async def test_controller_of_another_gate_does_not_open_this_one(venue: Venue, people: People) -> None:
    await people.sign_in("north-1", await people.identify(controller="ivan", pin=PIN))
    assert said(await venue.lane().offer("T-1")) == ("refused", "no_controller")


async def test_shift_is_at_one_lane_and_the_next_one_relieves(venue: Venue, people: People) -> None:
    olena = await people.identify(controller="olena", pin=PIN)
    taras = await people.identify(badge="BADGE-1")
    await people.sign_in("north-1", olena)
    await people.sign_in("north-1", olena)
    assert said(await venue.lane("north-2").offer("T-1")) == ("refused", "no_controller")
    await people.sign_in("north-1", taras)
    assert await people.on_shift("north-1") == [taras]
    rows = await venue.sql("SELECT controller, closed_at IS NULL FROM shift ORDER BY id")
    assert rows == [("olena", 0), ("taras", 1)]


async def test_shift_goes_on_over_a_restart(venue: Venue) -> None:
    folder = venue.folder.with_name("other")
    olena = Controller("olena", "Олена Коваль")
    async with open_venue(folder) as before:
        await before.puts("controller", olena)
        await People(before.store, before.clock).sign_in("north-1", olena)
    async with open_venue(folder, filled=False) as after:
        assert await People(after.store, after.clock).on_shift("north-1") == [olena]


async def test_badge_is_read_as_any_code_is(people: People) -> None:
    assert (await people.identify(badge=" BADGE-1\r")).id == "taras"


@pytest.mark.parametrize(
    "shown",
    [
        {"controller": "olena", "pin": "0000"},
        {"controller": "olena"},
        {"controller": "nobody", "pin": PIN},
        {"controller": "taras", "pin": PIN},
        {"badge": "BADGE-2"},
        {"badge": ""},
        {},
    ],
    ids=str,
)
async def test_who_is_not_known_is_told_so(people: People, shown: dict[str, str]) -> None:
    with pytest.raises(NotKnown, match="not that of a controller"):
        await people.identify(**shown)


async def test_controller_without_badge_is_not_found_by_a_badge_of_an_unenrolled_box(venue: Venue) -> None:
    async with open_venue(venue.folder.with_name("new"), enrolled=False) as new:
        await new.puts("controller", Controller("taras", "Тарас", badge=lookup_text(lookup_of(KEY, "BADGE-1"))))
        with pytest.raises(NotKnown):
            await People(new.store, new.clock).identify(badge="BADGE-1")


async def test_wrong_pins_make_the_next_one_wait_even_the_right_one(venue: Venue, people: People) -> None:
    for _ in range(MOST_FAILURES):
        with pytest.raises(NotKnown, match="not that of"):
            await people.identify(controller="olena", pin="0000")
        venue.hand.pass_(1)
    with pytest.raises(NotKnown, match="wait a minute"):
        await people.identify(controller="olena", pin=PIN)
    venue.hand.pass_(FAILURES_S - MOST_FAILURES)
    assert (await people.identify(controller="olena", pin=PIN)).id == "olena"


async def test_pins_tried_all_at_once_are_slowed_down_alike(people: People) -> None:
    async def attempt(pin: str) -> str:
        try:
            return (await people.identify(controller="olena", pin=pin)).id
        except NotKnown as exc:
            return "wait" if "wait a minute" in str(exc) else "wrong"

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attempt(f"{n:04}")) for n in range(30)]
        tasks.append(group.create_task(attempt(PIN)))
    outcomes = [task.result() for task in tasks]
    assert outcomes.count("wrong") == MOST_FAILURES
    assert outcomes[-1] == "wait"


@pytest.mark.parametrize(
    "pin",
    [
        "$argon2id$v=19$m=65537,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8,t=11,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=65536,t=1,p=8192$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8,t=1,p=1$broken",
        "2468",
    ],
)
async def test_hash_that_would_cost_too_much_or_is_none_lets_nobody_in(venue: Venue, people: People, pin: str) -> None:
    await venue.puts("controller", Controller("olena", "Олена", pin=pin))
    with pytest.raises(NotKnown, match="not that of"):
        await people.identify(controller="olena", pin=PIN)


def test_dear_hashes_are_not_computed_at_all() -> None:
    assert _affordable("$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$AAAA")
    assert not _affordable("$argon2id$v=19$m=65537,t=1,p=1$c29tZXNhbHQ$AAAA")
    assert not _affordable("$argon2id$v=19$m=8,t=11,p=1$c29tZXNhbHQ$AAAA")
    assert not _affordable("$argon2id$v=19$m=65536,t=1,p=8192$c29tZXNhbHQ$AAAA")
