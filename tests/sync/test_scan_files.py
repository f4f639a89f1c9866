"""Scans written out as CSV: each once, whole rows only, whatever was cut off, moved away or handed over again."""

import csv
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edge.store.scan_table import COLUMNS
from sync.errors import LinkDown
from sync.scan_files import ScanFiles

KYIV = ZoneInfo("Europe/Kyiv")
NAME = "scans-2026-05-01.csv"


def a_scan(scan_id: str, seq: int) -> dict[str, Any]:
    """An admission, as the journal hands it over."""
    return {
        "scan_id": scan_id,
        "seq": seq,
        "prev": "0" * 64,
        "lane": "north-1",
        "checkpoint": "gate",
        "controller": None,
        "ticket_id": "T-1",
        "lookup": "A" * 22,
        "code": None,
        "direction": "entry",
        "verdict": "admitted",
        "reason": "admitted",
        "at": "2026-05-01T18:00:00Z",
        "clock": "trusted",
        "passage": "passed",
        "note": None,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "scans"


def scans(first: int, last: int, **fields: Any) -> list[dict[str, Any]]:
    return [a_scan(f"s-{seq}", seq) | fields for seq in range(first, last + 1)]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def seqs(path: Path) -> list[int]:
    return [int(row["seq"]) for row in rows_of(path)]


def test_a_scan_is_a_row_with_the_columns_of_the_export(folder: Path) -> None:
    note = 'said "no",\r\nand went'
    ScanFiles(folder).write(scans(1, 1, code="=1+1", note=note, ticket_id=None, reason="unknown_ticket"), KYIV)
    (row,) = rows_of(folder / NAME)
    assert tuple(row) == COLUMNS
    assert (row["seq"], row["scan_id"], row["at"], row["lane"]) == ("1", "s-1", "2026-05-01T18:00:00Z", "north-1")
    assert (row["code"], row["note"], row["ticket_id"], row["of"]) == ("'=1+1", note, "", "")
    assert (folder / NAME).read_bytes().count(b"\r\n") == 3
    assert (folder / NAME).stat().st_mode & 0o777 == 0o600


def test_each_local_day_has_its_file(folder: Path) -> None:
    instants = ("2026-05-01T20:59:59Z", "2026-05-01T21:00:00Z", "2026-05-02T20:59:59.999999Z")
    ScanFiles(folder).write([a_scan(f"s-{n}", n) | {"at": at} for n, at in enumerate(instants, 1)], KYIV)
    assert [seqs(path) for path in sorted(folder.iterdir())] == [[1], [2, 3]]
    ScanFiles(folder).write(scans(4, 4, at="2026-05-01T12:00:00Z"), KYIV)  # the clock was put right
    assert seqs(folder / NAME) == [1, 4]


def test_what_is_handed_over_again_is_not_written_again(folder: Path) -> None:
    files = ScanFiles(folder)
    files.write(scans(1, 4), KYIV)
    files.write(scans(3, 6), KYIV)
    ScanFiles(folder).write(scans(1, 8), KYIV)
    assert seqs(folder / NAME) == list(range(1, 9))


def test_a_journal_that_begins_anew_is_written_too(folder: Path) -> None:
    """Its seqs are there, but its scans are not."""
    ScanFiles(folder).write(scans(1, 3), KYIV)
    other = [scan | {"scan_id": f"other-{scan['seq']}"} for scan in scans(1, 2)]
    for _ in range(2):
        ScanFiles(folder).write(other, KYIV)
    assert [row["scan_id"] for row in rows_of(folder / NAME)] == ["s-1", "s-2", "s-3", "other-1", "other-2"]


@pytest.fixture
def read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read, each time that one is."""
    found: list[str] = []
    real = Path.open

    def opened(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if path.parent == folder:
            found.append(path.name)
        return real(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    return found


def test_a_journal_that_begins_anew_has_each_file_read_once(folder: Path, read: list[str]) -> None:
    ScanFiles(folder).write(scans(1, 300), KYIV)
    anew = [scan | {"scan_id": f"other-{scan['seq']}"} for scan in scans(1, 400)]
    files = ScanFiles(folder)
    for first in range(0, 400, 20):
        files.write(anew[max(0, first - 10) : first + 20], KYIV)  # each time half of the last again
    assert read == [NAME, NAME], "to see how far it goes, and what is in it"
    assert seqs(folder / NAME) == [*range(1, 301), *range(1, 401)]


def test_what_is_in_a_file_is_read_again_after_another_hand_changed_it(folder: Path, read: list[str]) -> None:
    files = ScanFiles(folder)
    files.write(scans(1, 6), KYIV)
    files.write(scans(3, 6), KYIV)
    whole = (folder / NAME).read_bytes().splitlines(keepends=True)
    (folder / NAME).write_bytes(b"".join(whole[:4] + whole[5:]))
    read.clear()
    files.write(scans(3, 6), KYIV)
    assert read == [NAME, NAME]
    assert seqs(folder / NAME) == [1, 2, 3, 5, 6, 4]


@pytest.mark.parametrize("note", ["", 'with "quotes",\r\nand a line end'])
def test_a_power_cut_leaves_no_half_row(folder: Path, note: str) -> None:
    ScanFiles(folder).write(scans(1, 2), KYIV)
    whole = (folder / NAME).read_bytes()
    ScanFiles(folder).write(scans(3, 3, note=note), KYIV)
    longer = (folder / NAME).read_bytes()
    for end in range(len(whole), len(longer)):
        (folder / NAME).write_bytes(longer[:end])
        ScanFiles(folder).write(scans(3, 4, note=note), KYIV)
        assert (folder / NAME).read_bytes().startswith(longer), end
        assert seqs(folder / NAME) == [1, 2, 3, 4], end


def test_a_heading_that_was_cut_is_written_again(folder: Path) -> None:
    ScanFiles(folder).write(scans(1, 1), KYIV)
    whole = (folder / NAME).read_bytes()
    for end in (0, 1, 20, whole.index(b"\n")):
        (folder / NAME).write_bytes(whole[:end])
        ScanFiles(folder).write(scans(1, 1), KYIV)
        assert (folder / NAME).read_bytes() == whole


@pytest.mark.parametrize("tail", [bytes(4096), b"\0\n\0\0", b"\xff\xfe\n", b'"' + bytes(100)])
def test_what_a_disk_makes_up_at_the_end_is_cut_off(folder: Path, tail: bytes) -> None:
    ScanFiles(folder).write(scans(1, 2), KYIV)
    with (folder / NAME).open("ab") as file:
        file.write(tail)
    ScanFiles(folder).write(scans(2, 3), KYIV)
    assert seqs(folder / NAME) == [1, 2, 3]


@pytest.mark.parametrize(
    "text",
    [
        "a list of mine\r\n1,2\r\n",
        "\ufeff{heading}{row}",
        "{heading}{row}what,is,this\r\n{row}",
        "{row}",
        "{heading}{row}{heading}{row}",
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_left_alone(folder: Path, text: str) -> None:
    ScanFiles(folder).write(scans(1, 1), KYIV)
    heading, row = (folder / NAME).read_bytes().decode().splitlines(keepends=True)
    (folder / NAME).write_text(text.format(heading=heading, row=row), newline="")
    before = (folder / NAME).read_bytes()
    with pytest.raises(LinkDown, match="not as the gate wrote it; move it away, and the gate begins another"):
        ScanFiles(folder).write(scans(1, 2), KYIV)
    assert (folder / NAME).read_bytes() == before


def test_a_file_that_was_taken_away_is_begun_anew(folder: Path) -> None:
    files = ScanFiles(folder)
    files.write(scans(1, 3), KYIV)
    (folder / NAME).rename(folder / "taken.csv")
    files.write(scans(4, 5), KYIV)
    assert seqs(folder / NAME) == [4, 5]


def test_a_file_that_another_hand_changed_is_looked_at_again(folder: Path) -> None:
    files = ScanFiles(folder)
    files.write(scans(1, 3), KYIV)
    lines = (folder / NAME).read_bytes().splitlines(keepends=True)
    (folder / NAME).write_bytes(b"".join(lines[:-1]))
    files.write(scans(2, 4), KYIV)
    assert seqs(folder / NAME) == [1, 2, 3, 4]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(LinkDown, match=r"crm.scans_path: .*stick/scans: not there; put it back"):
        ScanFiles(tmp_path / "stick" / "scans").write(scans(1, 1), KYIV)
    (tmp_path / "stick").touch()
    with pytest.raises(LinkDown, match=r"stick/scans: Not a directory; the scans stay in the journal"):
        ScanFiles(tmp_path / "stick" / "scans").write(scans(1, 1), KYIV)


@pytest.fixture
def a_small_disk(folder: Path) -> Iterator[int]:
    """No file may grow beyond this many bytes, as on a disk that is full."""
    ScanFiles(folder).write(scans(1, 2), KYIV)
    most = (folder / NAME).stat().st_size + 40
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    yield most
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("a_small_disk")
def test_a_full_disk_takes_nothing_by_halves(folder: Path) -> None:
    files = ScanFiles(folder)
    with pytest.raises(LinkDown, match="File too large; the scans stay in the journal"):
        files.write(scans(3, 5), KYIV)
    assert seqs(folder / NAME) == [1, 2]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    files.write(scans(3, 5), KYIV)
    assert seqs(folder / NAME) == [1, 2, 3, 4, 5]


def test_one_that_was_given_up_and_its_repetition_write_each_scan_once(folder: Path) -> None:
    files = ScanFiles(folder)
    threads = [threading.Thread(target=files.write, args=(scans(1, 200), KYIV)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seqs(folder / NAME) == list(range(1, 201))


def test_rows_are_on_the_disk_before_they_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    ScanFiles(folder).write(scans(1, 2), KYIV)
    assert synced[0] == (folder / NAME).stat().st_size
    assert len(synced) == 2, "the file and its name in the folder"
