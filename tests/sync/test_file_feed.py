"""Barcode files become a feed: what is sent, in which order, what is refused and why, and how a cut one goes on."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from edge.core.barcodes import lookup_of, lookup_text, parse_lookup
from sync import file_feed
from sync.errors import LinkDown
from sync.file_feed import CannotRead, FileFeed
from sync.file_job import Cursor, FileJob, ListedEvent, ListedFile
from sync.file_reader import reading
from tests.sync.book import AT, KEY

PLAN = '{"kind":"event","id":"e-1"}'
EVENT = ListedEvent("e-1", "Europe/Kyiv", None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def a_file(folder: Path, name: str, text: str | bytes, *events: str) -> ListedFile:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    stat = path.stat()
    return ListedFile(bytes(path), name, path.stem, list(events) or ["e-1"], stat.st_size, stat.st_mtime_ns)


def a_job(*files: ListedFile, events: tuple[ListedEvent, ...] = (EVENT,), **more: Any) -> FileJob:
    return FileJob(key=KEY, salt=b"salt", at=AT, plan=[PLAN], events=list(events), files=list(files), **more)


@contextmanager
def reads(job: FileJob) -> Iterator[FileFeed]:
    """Read in this process, as the child does in its own."""
    feed = FileFeed(job)
    try:
        feed.read()
        yield feed
    finally:
        feed.close()


def lines_of(job: FileJob) -> list[dict[str, Any]]:
    with reads(job) as feed:
        return [json.loads(line) for line in feed.lines()]


def rows_of(lines: list[dict[str, Any]]) -> list[list[Any]]:
    return [row for line in lines if line["kind"] == "tickets" for row in line["rows"]]


def refusal(job: FileJob) -> str:
    with pytest.raises(CannotRead) as caught, reads(job):
        pass
    assert caught.value.lasting
    return str(caught.value)


def codes(count: int, state: str = "valid") -> str:
    return "code,state\n" + "".join(f"CODE-{n},{state}\n" for n in range(count))


# --- what is sent ---------------------------------------------------------------------------------------------------


def test_a_feed_is_everything_in_order_of_lookup(folder: Path) -> None:
    lines = lines_of(a_job(a_file(folder, "a.csv", codes(2300))))
    kinds = [line["kind"] for line in lines]
    assert kinds == ["reset", "event", "ticket_type", "tickets", "tickets", "tickets", "cursor"]
    assert [len(line["rows"]) for line in lines[3:6]] == [1000, 1000, 300]
    lookups = [parse_lookup(row[0]) for row in rows_of(lines)]
    assert lookups == sorted(lookup_of(KEY, f"CODE-{n}") for n in range(2300))
    assert (lines[-1]["tickets"], lines[-1]["at"]) == (2300, AT)


def test_a_row_is_a_ticket_word_for_word(folder: Path) -> None:
    text = "code;type;id;state;valid_from;valid_until;holder;seat\nCODE-1;VIP;T-1;Unpaid;2026-05-01 21:00;;Olha;A-1\n"
    (row,) = rows_of(lines_of(a_job(a_file(folder, "Box office.csv", text))))
    lookup = lookup_text(lookup_of(KEY, "CODE-1"))
    assert row == [lookup, "T-1", "vip", "unpaid", "2026-05-01T18:00:00Z", None, "Olha", "A-1", "Box office"]


def test_the_files_say_which_ticket_types_there_are(folder: Path) -> None:
    lines = lines_of(a_job(a_file(folder, "a.csv", "code,type\nA,VIP\nB,vip\nC,\nD,Гостьовий\n")))
    types = [(line["id"], line["name"]) for line in lines if line["kind"] == "ticket_type"]
    assert types == [("vip", "VIP"), ("ticket", "Ticket"), ("гостьовий", "Гостьовий")]
    assert sorted(row[2] for row in rows_of(lines)) == ["ticket", "vip", "vip", "гостьовий"]


def test_types_of_two_events_are_two_types(folder: Path) -> None:
    events = tuple(ListedEvent(each, "UTC", None, f"{each}:") for each in ("e-1", "e-2"))
    lines = lines_of(a_job(a_file(folder, "a.csv", "code,type\nA,VIP\n", "e-1", "e-2"), events=events))
    types = [(line["event"], line["id"], line["name"]) for line in lines if line["kind"] == "ticket_type"]
    assert types == [("e-1", "e-1:vip", "VIP"), ("e-2", "e-2:vip", "VIP")]
    assert [row[2] for row in rows_of(lines)] == ["e-1:vip", "e-2:vip"]


def test_where_the_plan_names_the_types_rows_must_too(folder: Path) -> None:
    file = a_file(folder, "a.csv", "code,type\nA,Very important\nB,x\n")
    event = ListedEvent("e-1", "UTC", {"vip": "Very important", "std": "Standard"})
    assert refusal(a_job(file, events=(event,))) == (
        "1 of 2 rows are bad: a.csv: line 3: type: 'x' is no ticket type of this event; its types: std, vip."
        " Mend them, or set crm.skip_bad = true"
    )


def test_one_file_may_serve_two_events(folder: Path) -> None:
    events = (EVENT, ListedEvent("e-2", "UTC", {"pass": "Pass"}))
    both = a_file(folder, "a.csv", "code,valid_from\nA,2026-05-01 21:00\n", "e-1", "e-2")
    lines = lines_of(a_job(both, a_file(folder, "b.csv", "code\nB\n", "e-2"), events=events))
    found = [(line["event"], [row[4] for row in line["rows"]]) for line in lines if line["kind"] == "tickets"]
    assert found[0] == ("e-1", ["2026-05-01T18:00:00Z"])
    assert (found[1][0], sorted(map(str, found[1][1]))) == ("e-2", ["2026-05-01T21:00:00Z", "None"])
    assert len({row[1] for row in rows_of(lines) if row[4]}) == 1, "a code is one ticket at both events"


# --- the same code twice --------------------------------------------------------------------------------------------


def test_of_a_code_in_two_files_the_later_by_name_counts(folder: Path) -> None:
    first, later = a_file(folder, "a.csv", codes(5)), a_file(folder, "b.csv", codes(2, "cancelled"))
    with reads(a_job(first, later)) as feed:
        rows = rows_of([json.loads(line) for line in feed.lines()])
        assert (feed.report.doubles, feed.report.tickets, feed.report.rows) == (2, 5, 7)
    assert sorted((row[3], row[8]) for row in rows) == [("cancelled", "b")] * 2 + [("valid", "a")] * 3


def test_the_same_row_twice_in_a_file_is_once(folder: Path) -> None:
    with reads(a_job(a_file(folder, "a.csv", "code\nA\nA\n A\x1d\n"))) as feed:
        assert (feed.report.tickets, feed.report.doubles, feed.report.bad) == (1, 0, 0)


def test_the_same_code_with_other_values_in_a_file_is_bad(folder: Path) -> None:
    text = refusal(a_job(a_file(folder, "a.csv", "code,seat\nA,1\nB,2\nA,3\n")))
    assert "a.csv: line 4: code: the same code as in line 2, with other values" in text


def test_an_id_is_that_of_one_code_over_all_files(folder: Path) -> None:
    files = a_file(folder, "a.csv", "code,id\nA,X\nB,Y\nC,X\n"), a_file(folder, "b.csv", "code,id\nD,Y\nA,X\n")
    text = refusal(a_job(*files))
    assert text.startswith("2 of 5 rows are bad: b.csv: line 2: id: Y is the id of another code in line 3 of a.csv;")
    assert "X is the id of another code in line" in text
    skipped = rows_of(lines_of(a_job(*files, skip_bad=True)))
    assert len(skipped) == len({row[1] for row in skipped}) == 2


# --- what is refused ------------------------------------------------------------------------------------------------


def test_every_bad_line_is_named_by_file_and_line(folder: Path) -> None:
    bad = (
        "code,state,valid_from,valid_until\nA,,,\n,valid,,\nB,sold,,\nC,,tomorrow,\nD,,2026-05-02,2026-05-01\nE,,,,,\n"
    )
    text = refusal(a_job(a_file(folder, "a.csv", codes(3)), a_file(folder, "b.csv", bad)))
    assert text.startswith("5 of 9 rows are bad: b.csv: line 3: code: ")
    for part in ("line 4: state: 'sold'", "line 5: valid_from: ", "line 6: valid_until: ", "line 7: line: 6 cells"):
        assert f"b.csv: {part}" in text


def test_many_bad_lines_are_counted(folder: Path) -> None:
    text = refusal(a_job(a_file(folder, "a.csv", codes(100, "sold"))))
    assert text.count("line ") == file_feed.MOST_PROBLEMS
    assert "; and 80 more. Mend them" in text


def test_bad_rows_are_left_out_where_that_is_wished(folder: Path) -> None:
    with reads(a_job(a_file(folder, "a.csv", "code,state\nA,\nB,sold\n"), skip_bad=True)) as feed:
        assert (feed.report.tickets, feed.report.bad, len(feed.report.problems)) == (1, 1, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a.csv: header: the file is empty"),
        ("barcode\nA\n", "a.csv: code: no such column; the header has barcode"),
        ("code\nÜ\n".encode("latin-1"), "a.csv: not UTF-8 (byte 5); save it as CSV UTF-8"),
        ("code\n" + "A" * 1_000_001, "a.csv: line: line 2 is longer than 1000000 characters"),
        ('code,seat\nA,"1"x\n', "a.csv: line 2: line: not CSV"),
    ],
)
def test_a_file_that_is_no_list_is_refused(folder: Path, text: str | bytes, said: str) -> None:
    assert said in refusal(a_job(a_file(folder, "a.csv", text)))


def test_too_many_ticket_types_are_another_column(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_feed, "MOST_TYPES", 2)
    text = refusal(a_job(a_file(folder, "a.csv", "code,type\nA,1\nB,2\nC,3\n")))
    assert "line 4: type: more than 2 ticket types; is this the right column?" in text


@pytest.mark.parametrize("trouble", ["grown", "gone"])
def test_a_file_that_changes_meanwhile_is_read_again(folder: Path, trouble: str) -> None:
    file = a_file(folder, "a.csv", codes(3))
    if trouble == "gone":
        (folder / file.name).unlink()
    else:
        a_file(folder, "a.csv", codes(4))
    with pytest.raises(CannotRead) as caught, reads(a_job(file)):
        pass
    assert not caught.value.lasting


# --- cursors --------------------------------------------------------------------------------------------------------


def test_the_same_content_is_known_by_its_cursor(folder: Path) -> None:
    file = a_file(folder, "a.csv", codes(3))
    cursor = lines_of(a_job(file))[-1]["cursor"]
    with reads(a_job(a_file(folder, "a.csv", codes(3)), since=cursor)) as feed:
        assert feed.report.same
    for name, state, salt in (("a.csv", "blocked", b"salt"), ("b.csv", "valid", b"salt"), ("a.csv", "valid", b"other")):
        other = a_job(a_file(folder, name, codes(3, state)), since=cursor)
        with reads(msgspec.structs.replace(other, salt=salt)) as feed:
            assert not feed.report.same


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cursor after each line of four tickets."""
    monkeypatch.setattr(file_feed, "LINES_A_CURSOR", 1)
    monkeypatch.setattr(file_feed, "BATCH", 4)


@pytest.mark.usefixtures("short_steps")
def test_a_cut_feed_goes_on_after_each_of_its_cursors(folder: Path) -> None:
    file = a_file(folder, "a.csv", codes(15))
    whole = lines_of(a_job(file))
    cursors = [at for at, line in enumerate(whole) if line["kind"] == "cursor"]
    assert [whole[at].get("more", False) for at in cursors] == [True, True, True, True, False]
    for at in cursors[:-1]:
        assert lines_of(a_job(file, since=whole[at]["cursor"])) == whole[at + 1 :]


@pytest.mark.usefixtures("short_steps")
def test_a_cut_feed_of_files_that_have_changed_begins_anew(folder: Path) -> None:
    whole = lines_of(a_job(a_file(folder, "a.csv", codes(15))))
    cursor = next(line["cursor"] for line in whole if line["kind"] == "cursor")
    assert lines_of(a_job(a_file(folder, "a.csv", codes(16)), since=cursor))[0] == {"kind": "reset"}


@pytest.mark.parametrize("text", [None, "", "x", "0" * 32, "0" * 31 + ".1." + "0" * 32, "0" * 32 + "+x", "é" * 40])
def test_what_is_no_cursor_of_ours_is_none(text: str | None) -> None:
    assert Cursor.parse(text) is None


def test_cursors_are_read_as_they_are_written() -> None:
    for cursor in (Cursor("0a" * 16, 5), Cursor("0a" * 16, None, 7, "0b" * 16)):
        assert Cursor.parse(cursor.write()) == cursor


# --- the process ----------------------------------------------------------------------------------------------------


def children() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "sync.file_feed" in " ".join(each.cmdline())]


async def test_the_process_says_what_it_found_and_then_the_feed(folder: Path) -> None:
    job = a_job(a_file(folder, "a.csv", codes(2300)))
    async with reading(job) as (report, chunks):
        assert (report.tickets, report.files, report.why) == (2300, 1, None)
        body = b"".join([chunk async for chunk in chunks])
    assert [json.loads(line) for line in body.splitlines()] == lines_of(job)
    assert children() == []


async def test_the_process_may_have_nothing_to_send(folder: Path) -> None:
    good, bad = a_job(a_file(folder, "a.csv", codes(3))), a_job(a_file(folder, "b.csv", "code\n \n"))
    same = msgspec.structs.replace(good, since=lines_of(good)[-1]["cursor"])
    for job in (msgspec.structs.replace(good, dry=True), same, bad):
        async with reading(job) as (report, chunks):
            assert [chunk async for chunk in chunks] == []
        assert (report.same, report.lasting, report.why is None) == (job is same, job is bad, job is not bad)


async def test_nothing_is_left_of_a_process_that_is_given_up(folder: Path) -> None:
    async with reading(a_job(a_file(folder, "a.csv", codes(50_000)))):
        assert len(children()) == 1
    assert children() == []


async def test_a_process_that_dies_is_an_error_with_its_cause(folder: Path) -> None:
    async with reading(a_job(a_file(folder, "a.csv", codes(50_000)))) as (_, chunks):
        children()[0].kill()
        with pytest.raises(LinkDown, match=r"SIGKILL\); going on from the last cursor"):
            async for _ in chunks:
                pass


async def test_the_key_is_on_no_command_line(folder: Path) -> None:
    async with reading(a_job(a_file(folder, "a.csv", codes(50_000)))):
        (child,) = children()
        assert child.cmdline()[1:] == ["-m", "sync.file_feed"]
        assert not any(KEY.hex() in value for value in child.environ().values())
