"""Lines out of a stream of bytes, and what is said of a bad one."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.cutting import MAX_LINE_BYTES, MOST_BLANK, MOST_EMPTY, Unpacker, whole_lines
from sync.errors import BadFeed
from sync.lines import parse_line
from sync.wire import CursorLine, TicketsLine
from tests.sync.book import AT, Book, row


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def lines_of(*parts: bytes) -> list[bytes]:
    return [line async for line in whole_lines(chunks(*parts))]


@given(texts=st.lists(st.binary(min_size=1, max_size=20)), cuts=st.lists(st.integers(0, 400)))
async def test_lines_are_the_same_wherever_the_stream_is_cut(texts: list[bytes], cuts: list[int]) -> None:
    texts = [text for text in texts if text.strip() and b"\n" not in text]
    body = b"".join(text + b"\n" for text in texts)
    ends = sorted({min(cut, len(body)) for cut in cuts})
    parts = [body[start:end] for start, end in zip([0, *ends], [*ends, len(body)], strict=True)]
    assert await lines_of(*parts) == texts


async def test_blank_lines_are_skipped() -> None:
    assert await lines_of(b"\n  \n{}\r\n\n") == [b"{}\r"]


async def test_blank_lines_without_end_are_refused() -> None:
    kept_alive = [b"\n" * MOST_BLANK, b"{}\n"] * 2
    assert await lines_of(*kept_alive) == [b"{}", b"{}"]
    with pytest.raises(BadFeed, match=f"more than {MOST_BLANK} blank lines"):
        await lines_of(b"\n" * (MOST_BLANK + 1))


async def test_a_chunk_of_many_lines_does_not_hold_the_loop() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    assert len(await lines_of(b"{}\n" * 1000)) == 1000
    task.cancel()
    assert turns >= 1000


async def packed_lines_of(*parts: bytes) -> list[bytes]:
    return [line async for line in whole_lines(chunks(*parts), "gzip")]


async def test_a_packed_feed_may_have_several_members() -> None:
    body = gzip.compress(b'{"a":') + gzip.compress(b"1}\n{}\n")
    for at in range(len(body)):
        assert await packed_lines_of(body[:at], body[at:]) == [b'{"a":1}', b"{}"]
    with pytest.raises(BadFeed, match="cut in the middle of a line"):
        await packed_lines_of(body[:-1])


async def test_what_follows_a_packed_feed_is_refused() -> None:
    with pytest.raises(BadFeed, match="packing is broken"):
        await packed_lines_of(gzip.compress(b"{}\n") + b"and more")


NOTHING = gzip.compress(b"")


async def test_a_packed_feed_may_have_members_that_hold_nothing_but_not_without_end() -> None:
    few, one = NOTHING * MOST_EMPTY, gzip.compress(b"{}\n")
    assert await packed_lines_of(few + one + few, one) == [b"{}", b"{}"]
    for more in (few + NOTHING, one + few + NOTHING):
        with pytest.raises(BadFeed, match=f"more than {MOST_EMPTY} gzip members in a row hold nothing"):
            await packed_lines_of(more)


def test_the_rest_of_a_long_chunk_is_not_copied_for_each_small_member() -> None:
    """Else the time grows with the square of its length: 10 s for 4 MiB."""
    chunk = gzip.compress(b" ") * 10_000
    tracemalloc.start()
    try:
        assert sum(len(part) for part in Unpacker(1024).unpack(chunk)) == 10_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000, "beside the chunk itself, of 210 kB"


async def test_a_feed_that_ends_inside_a_line_is_cut() -> None:
    found = []
    with pytest.raises(BadFeed, match="cut in the middle of a line"):
        async for line in whole_lines(chunks(b"{}\n", b'{"kind"')):
            found.append(line)  # noqa: PERF401 (what came before the cut is kept)
    assert found == [b"{}"]


async def test_a_line_may_not_be_longer_than_the_limit() -> None:
    part = b"x" * 65536
    with pytest.raises(BadFeed, match=f"longer than {MAX_LINE_BYTES} bytes; send at most 1,000 rows"):
        await lines_of(*[part] * (MAX_LINE_BYTES // len(part) + 1))


@pytest.mark.parametrize("raw", [b"5", b"[]", b"null", b'"reset"'])
def test_a_line_that_is_no_object_says_so(raw: bytes) -> None:
    with pytest.raises(BadFeed, match=r"^feed line 7: not a JSON object$"):
        parse_line(raw, 7)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({}, "feed line 7: kind: missing; each line is an object that names its kind"),
        ({"kind": "cursor", "at": AT}, "feed line 7: cursor.cursor: missing; the Gate API requires it"),
        ({"kind": "cursor", "cursor": "k", "at": "noon"}, "feed line 7: cursor.at: an instant is ISO 8601 UTC with Z"),
        ({"kind": "tickets", "rows": []}, "feed line 7: tickets.event: missing"),
        ({"kind": "tickets", "event": "e", "rows": [row(1), row(2)[:4]]}, "feed line 7: tickets.rows.1.4: missing"),
        ({"kind": "tickets", "event": "e", "rows": [row(1, "lost")]}, "feed line 7: tickets.rows.0.3: "),
        ({"kind": "tickets", "event": "e", "rows": [row(1)] * 1001}, "feed line 7: tickets.rows: "),
        ({"kind": "delete", "of": "people", "ids": []}, "feed line 7: delete.of: "),
    ],
)
def test_a_bad_line_names_line_and_field(line: dict[str, Any], says: str) -> None:
    with pytest.raises(BadFeed) as caught:
        parse_line(json.dumps(line).encode(), 7)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"<html>"])
def test_what_is_not_json_says_so(raw: bytes) -> None:
    with pytest.raises(BadFeed, match=r"feed line 1: not JSON .*; each line is one JSON object"):
        parse_line(raw, 1)


def test_an_unknown_kind_is_skipped() -> None:
    assert parse_line(b'{"kind":"weather","rain":true}', 1) is None


def test_unknown_fields_are_counted_wherever_they_are() -> None:
    point = {
        "kind": "checkpoint",
        "id": "c",
        "event": "e",
        "name": "North",
        "colour": "red",
        "policies": {"on_rain": "admit", "on_stale": "admit"},
        "hours": [{"opens_at": AT, "closes_at": "2026-05-01T19:00:00Z", "note": "x"}],
    }
    line = parse_line(json.dumps(point).encode(), 1)
    assert line is not None
    assert line.unknown_fields() == 3


def test_lines_of_the_book_are_read() -> None:
    book = Book()
    assert isinstance(parse_line(json.dumps(book.tickets(1, 2)).encode(), 1), TicketsLine)
    assert isinstance(parse_line(json.dumps(book.cursor("k")).encode(), 2), CursorLine)
