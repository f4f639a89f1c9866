"""Pictures at a lane: of what is refused and of nothing else, beside the journal and never in it."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from drivers.protocols import Read, Spoiled
from edge.gate import Lane
from edge.store.keeping import verify_chain
from tests.edge.conftest import NOW, Venue

JPEG = b"\xff\xd8 a guest \xff\xd9"
SEEN = Read("T-1", NOW, "]Q1", picture=JPEG)


@dataclass
class Camera:
    """Sees these codes, one after the other."""

    given: tuple[Read, ...]

    async def reads(self) -> AsyncGenerator[Read | Spoiled]:
        for each in self.given:
            yield each


@pytest.fixture
def lane(venue: Venue) -> Lane:
    venue.store.pictures.allow(lambda: 48, lambda: True)
    return venue.lane(repeat_s=0)


async def pictured(venue: Venue) -> list[tuple[str, bool]]:
    """Return each scan's reason, and whether there is a picture of it."""
    return [(scan.reason, venue.store.pictures.has(scan.scan_id)) for scan in await venue.journal()]


async def test_of_what_is_refused_a_picture_is_kept(venue: Venue, lane: Lane) -> None:
    await venue.sells("T-1")
    await lane.pump(Camera((SEEN, SEEN)), keep_h=24)
    assert await pictured(venue) == [("admitted", False), ("already_used", True)]
    await venue.store.pictures.write()
    refused = (await venue.journal())[1].scan_id
    assert await venue.store.pictures.read(refused) == JPEG
    assert [path.name for path in (venue.folder / "pictures").iterdir()] == [f"{refused}.24.jpg"]
    assert (await venue.in_thread(lambda tx: verify_chain(tx.journal))).problems == ()


async def test_an_admission_that_is_shown_again_leaves_none(venue: Venue) -> None:
    venue.store.pictures.allow(lambda: 48, lambda: True)
    await venue.sells("T-1")
    await venue.lane(repeat_s=3).pump(Camera((SEEN, SEEN)), keep_h=24)
    assert await pictured(venue) == [("admitted", False)]


async def test_a_code_that_may_have_been_misread_has_one_when_it_is_refused(venue: Venue, lane: Lane) -> None:
    doubtful = replace(SEEN, certain=False)
    await lane.pump(Camera((doubtful,)), keep_h=24)
    assert await pictured(venue) == []
    await lane.pump(Camera((replace(doubtful, again=True, picture=b"the second"),)), keep_h=24)
    assert await pictured(venue) == [("unknown_ticket", True)]
    (scan,) = await venue.journal()
    assert await venue.store.pictures.read(scan.scan_id) == b"the second"


@pytest.mark.parametrize(("read", "keep_h"), [(SEEN, 0), (replace(SEEN, picture=None), 24)])
async def test_a_reader_that_keeps_none_or_has_none_leaves_none(
    venue: Venue, lane: Lane, read: Read, keep_h: int
) -> None:
    await lane.pump(Camera((read,)), keep_h=keep_h)
    assert await pictured(venue) == [("unknown_ticket", False)]


async def test_whoever_looks_on_is_told_that_there_is_one(venue: Venue, lane: Lane) -> None:
    told: list[dict[str, Any]] = []
    venue.hub.listen(told.append)
    await venue.sells("T-1")
    with venue.hub.subscribe() as feed:
        await lane.pump(Camera((SEEN, SEEN)), keep_h=24)
        seen = [await feed.get(), await feed.get()]
    assert [each and (each["reason"], each["picture"]) for each in seen] == [
        ("admitted", False),
        ("already_used", True),
    ]


async def test_a_disk_that_takes_no_picture_takes_nothing_from_the_lane(venue: Venue, lane: Lane) -> None:
    (venue.folder / "pictures").write_text("a file in its place")
    await lane.pump(Camera((SEEN,)), keep_h=24)
    await venue.store.pictures.write()
    assert await pictured(venue) == [("unknown_ticket", False)]
    assert "cannot be kept" in str(venue.store.pictures.fault)
    assert lane.cannot_record is None
    await lane.pump(Camera((SEEN,)), keep_h=24)
    assert len(await venue.journal()) == 2


async def test_a_box_that_is_revoked_gives_up_its_pictures_with_its_list(venue: Venue, lane: Lane) -> None:
    await lane.pump(Camera((SEEN,)), keep_h=24)
    await venue.store.pictures.write()
    await venue.store.wipe_whitelist()
    assert await pictured(venue) == [("unknown_ticket", False)]
    assert not (venue.folder / "pictures").exists()
