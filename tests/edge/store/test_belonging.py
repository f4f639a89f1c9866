"""A box that is enrolled anew: whose list it finds, what it does with it, and what goes on counting."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from config.settings import LaneSettings
from edge.core.barcodes import lookup_of, lookup_text
from edge.gate import Answer, Lane
from edge.hub import Hub
from edge.store.belonging import OTHER_DEVICE, OTHER_KEY, Owner
from edge.store.store import Store, open_store
from edge.store.tx import Identity
from edge.store.whitelist_writer import whitelist_session
from tests.edge.conftest import ADMITTED, ALREADY_USED, KEY, NOW, HandClock, fill, said, ticket_row

OTHER = bytes(reversed(KEY))
UNKNOWN = ("refused", "unknown_ticket")


@asynccontextmanager
async def opened(folder: Path, key: bytes | None = KEY, device: str = "d-1") -> AsyncIterator[Store]:
    """Open the store of a box, as after a start."""
    defects: list[BaseException] = []
    identity = Identity(device, key) if key else None
    async with open_store(folder, identity, HandClock().gate_clock().now, defects.append) as store:
        yield store
    assert defects == []


async def pull(store: Store, code: str = "T-1", key: bytes = KEY) -> None:
    """Bring a list in, as the change feed would."""
    await fill(store, NOW)
    async with store.session(building=False) as session:
        row = (lookup_text(lookup_of(key, code)), *ticket_row(code)[1:])
        await session.put_tickets("concert", [row])
        await session.commit("cursor-2", NOW, **store.owner.mark())


async def offer(store: Store, code: str = "T-1", after_s: float = 0.0) -> Answer:
    hand = HandClock()
    clock = hand.gate_clock()
    hand.pass_(after_s)
    return await Lane(LaneSettings(id="north-1", checkpoint="c-north"), "en", store, clock, Hub()).offer(code)


async def test_list_of_another_key_is_given_up_and_no_ticket_is_known(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await pull(store)
    async with opened(tmp_path, OTHER, "d-2") as store:
        assert (store.data.cursor, store.data.tickets, store.data.disowned) == (None, 0, OTHER_KEY)
        answer = await offer(store)
        assert said(answer) == UNKNOWN
        assert answer.scan.facts == {"data_age_s": None}
    assert not [path for path in tmp_path.glob("whitelist*") if b"t-T-1" in path.read_bytes()]


async def test_why_there_is_no_list_is_said_until_there_is_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await pull(store)
    for _ in range(2):
        async with opened(tmp_path, OTHER) as store:
            assert store.data.disowned == OTHER_KEY
    async with opened(tmp_path, OTHER) as store:
        await pull(store, key=OTHER)
        assert store.data.disowned is None
        assert said(await offer(store)) == ADMITTED
    async with opened(tmp_path, OTHER) as store:
        assert (store.data.cursor, store.data.disowned) == ("cursor-2", None)


async def test_list_of_the_same_key_is_used_until_it_is_pulled_anew(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await pull(store)
    for _ in range(2):
        async with opened(tmp_path, device="d-2") as store:
            assert (store.data.cursor, store.data.tickets, store.data.disowned) == (None, 1, OTHER_DEVICE)
    async with opened(tmp_path, device="d-2") as store:
        assert said(await offer(store)) == ADMITTED
        await pull(store)
        assert (store.data.cursor, store.data.disowned) == ("cursor-2", None)


async def test_list_of_a_release_that_marked_none_is_taken_for_ones_own(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, NOW)
    async with opened(tmp_path) as store:
        assert (store.data.cursor, store.data.disowned) == ("cursor-1", None)
    async with opened(tmp_path, OTHER) as store:
        assert (store.data.cursor, store.data.disowned) == (None, OTHER_KEY)


@pytest.mark.parametrize(("key", "device"), [(OTHER, "d-1"), (KEY, "d-2")])
async def test_unfinished_list_of_another_is_not_gone_on_with(tmp_path: Path, key: bytes, device: str) -> None:
    async with opened(tmp_path) as store, store.session(building=True) as session:
        await session.commit("s-1", NOW, **store.owner.mark())
    async with opened(tmp_path) as store:
        assert store.building_path.exists()
    async with opened(tmp_path, key, device) as store:
        assert not store.building_path.exists()


async def test_unfinished_list_that_is_damaged_stops_no_start(tmp_path: Path) -> None:
    (tmp_path / "whitelist.building.db").write_bytes(b"no database" * 1000)
    async with opened(tmp_path) as store:
        assert not store.building_path.exists()


async def test_unfinished_list_that_cannot_be_read_now_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.store.database.BUSY_TIMEOUT_MS", 1)
    async with opened(tmp_path, key=OTHER) as store:
        async with store.session(building=True) as session:
            await session.commit("b-1", NOW, **store.owner.mark())
        path = store.building_path
    with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        somebody.execute("BEGIN EXCLUSIVE")
        async with opened(tmp_path):
            assert not path.exists()


async def test_box_whose_list_cannot_be_opened_is_enrolled_all_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path, key=None) as store:
        store.whitelist_path.unlink()
        store.whitelist_path.mkdir()
        await store.enrol(Identity("d-1", KEY))
        assert store.identity == Identity("d-1", KEY)
        store.whitelist_path.rmdir()
        await pull(store)
        assert (await offer(store)).scan.verdict == "admitted"


async def test_list_that_was_pushed_to_a_box_before_it_was_enrolled_is_nobodys(tmp_path: Path) -> None:
    async with opened(tmp_path, None) as store:
        await pull(store)
        await store.enrol(Identity("d-1", KEY))
        assert (store.data.cursor, store.data.tickets, store.data.disowned) == (None, 0, OTHER_KEY)
        assert said(await offer(store)) == UNKNOWN


async def test_box_that_is_enrolled_while_it_runs_keeps_its_own_list(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await pull(store)
    async with opened(tmp_path, None) as store:  # its credentials were lost, and come again
        await store.enrol(Identity("d-1", KEY))
        assert store.data.cursor == "cursor-2"
        assert said(await offer(store)) == ADMITTED


async def test_uses_go_on_counting_by_event_and_ticket_and_the_change_is_written_down(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await pull(store)
        assert said(await offer(store)) == ADMITTED
    async with opened(tmp_path, OTHER, "d-2") as store:
        await pull(store, key=OTHER)
        answer = await offer(store, after_s=60.0)
        assert said(answer) == ALREADY_USED
        assert answer.scan.facts["first_at"] == "2026-05-01T16:02:00Z"
        found = await store.read(lambda tx: dict(tx.journal.execute("SELECT key, value FROM meta")))
    assert json.loads(found["lookup_key_changes"]) == [
        {"after_seq": 1, "at": "2026-05-01T16:02:00Z", "device": "d-2"},
    ]


async def test_key_itself_is_in_no_file_of_the_stores(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await pull(store)
        mark = store.owner.mark()
    async with whitelist_session(tmp_path / "whitelist.db") as session:
        assert {name: session.meta(name) for name in mark} == mark
    for path in tmp_path.glob("*.db*"):
        content = path.read_bytes()
        assert KEY not in content
        assert KEY.hex().encode() not in content


def test_owners_are_told_apart_by_key_and_by_device() -> None:
    owners = {Owner.of("d-1", KEY), Owner.of("d-2", KEY), Owner.of("d-1", OTHER), Owner()}
    assert len({(owner.key, owner.device) for owner in owners}) == 4
    assert Owner.of("d-1", KEY).key == Owner.of("d-2", KEY).key
