"""Push mode: a CRM on the same network sends the same lines to the device."""

from collections.abc import AsyncIterator

import pytest

from sync.errors import BadFeed
from sync.push import PushSink
from tests.sync.book import Book, everything, packed
from tests.sync.rig import Rig


async def body(data: bytes, size: int = 50) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture
def sink(rig: Rig) -> PushSink:
    return PushSink(rig.puller, rig.store)


async def test_a_pushed_list_is_judged_by(rig: Rig, sink: PushSink, book: Book) -> None:
    answer = await sink.apply(body(packed(everything(3, book=book))))
    assert answer == {"lines": 6, "cursor": "k-1", "tickets": 3, "fingerprint": book.fingerprint.hex()}
    assert await rig.reason(3) == "admitted"


async def test_pushed_changes_are_applied_to_the_list_in_use(rig: Rig, sink: PushSink, book: Book) -> None:
    await sink.apply(body(packed(everything(3, book=book))))
    answer = await sink.apply(body(packed([book.tickets(2, state="blocked"), book.cursor("k-2")])))
    assert (answer["cursor"], answer["tickets"]) == ("k-2", 3)
    assert await rig.reason(2) == "blocked"


async def test_a_bad_push_names_line_and_field_and_keeps_what_a_cursor_closed(rig: Rig, sink: PushSink) -> None:
    book = Book()
    await sink.apply(body(packed(everything(2, book=book))))
    good = [book.tickets(3), book.cursor("k-2")]
    bad = Book().tickets(4)
    bad["rows"][0][3] = "gone"
    with pytest.raises(BadFeed, match=r"feed line 3: tickets\.rows\.0\.3: "):
        await sink.apply(body(packed([*good, bad, Book().cursor("k-3")])))
    assert (rig.store.data.cursor, rig.store.data.tickets) == ("k-2", 3)
    assert await rig.reason(4) == "unknown_ticket"


async def test_a_push_without_its_cursor_changes_nothing(rig: Rig, sink: PushSink, book: Book) -> None:
    await sink.apply(body(packed(everything(2, book=book))))
    answer = await sink.apply(body(packed([Book().tickets(3)])))
    assert (answer["cursor"], answer["tickets"]) == ("k-1", 2)


async def test_a_pushed_list_that_is_too_small_is_held(rig: Rig, sink: PushSink) -> None:
    await sink.apply(body(packed(everything(5))))
    answer = await sink.apply(body(packed(everything(1, "k-2"))))
    assert answer["cursor"] == "k-1"
    assert rig.store.data.held is not None


async def test_a_push_that_does_not_add_up_is_refused(rig: Rig, sink: PushSink) -> None:
    await sink.apply(body(packed(everything(2))))
    with pytest.raises(BadFeed, match="is not the CRM's"):
        await sink.apply(body(packed([*everything(3, "k-2")[:-1], Book().cursor("k-2", tickets=9)])))
    assert rig.store.data.cursor == "k-1"
