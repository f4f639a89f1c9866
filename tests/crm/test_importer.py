"""Sellers' files: whole or not at all, every bad row named, the same file again changes nothing."""

from pathlib import Path

import pytest

from crm import service
from crm.database import Database
from crm.errors import BadInput, NotFound
from crm.importer import ImportResult, ImportRow, NothingImported, Problem, import_file, import_rows
from tests.crm.conftest import Gate, make_event


@pytest.fixture
async def event(db: Database) -> str:
    await make_event(db)
    return "e-1"


async def load(db: Database, path: Path, text: str | bytes, skip_bad: bool = False) -> tuple[ImportResult, list[str]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    problems: list[Problem] = []
    result = await import_file(db, "e-1", path, source="Concert.ua", skip_bad=skip_bad, report=problems.append)
    return result, [str(each) for each in problems]


async def size(db: Database) -> int:
    async with db.read() as tx:
        return tx.listed.count


@pytest.mark.parametrize(
    "text",
    [
        "code,type,holder\nA-1,Standard,Olha\nA-2,t-1,\n",
        "\ufeffCode;Type;Holder\r\n A-1 ;standard;Olha\r\n\r\nA-2;STANDARD;\r\n",
        "holder\tcode\tother\nOlha\tA-1\tx\n\tA-2\n",
        'code,holder\n"A-1","Olha"\nA-2,\nA-2,\n',
    ],
)
async def test_files_as_sellers_write_them(db: Database, gate: Gate, tmp_path: Path, text: str) -> None:
    result, problems = await load(db, tmp_path / "a.csv", text)
    assert (result.added, result.bad, problems) == (2, 0, [])
    rows = {str(row[6]): row for row in (await gate.sync()).tickets.values()}
    assert rows["Olha"][2:4] == ["t-1", "valid"]
    assert rows["Olha"][8] == "Concert.ua"


async def test_the_same_file_again_says_nothing(db: Database, event: str, tmp_path: Path) -> None:
    text = "code,seat\n" + "".join(f"A-{n},{n}\n" for n in range(2300))
    first, _ = await load(db, tmp_path / "a.csv", text)
    async with db.read() as tx:
        seq = tx.seq
    again, _ = await load(db, tmp_path / "a.csv", text)
    assert (first.added, again.added, again.changed, again.unchanged) == (2300, 0, 0, 2300)
    moved, _ = await load(db, tmp_path / "a.csv", text.replace("A-7,7\n", "A-7,70\n"))
    assert (moved.added, moved.changed) == (0, 1)
    async with db.read() as tx:
        assert tx.seq == seq + 1


BAD = """code,type,state,valid_from,valid_until,id
A-1,Standard,,,,
,Standard,,,,
A-2,VIP,,,,
A-3,Standard,sold,,,
A-4,Standard,,tomorrow,,
A-5,Standard,,2026-05-02T00:00Z,2026-05-01T00:00Z,
A-6,Standard,,,,X
A-7,Standard,,,,X
A-1,Standard,revoked,,,
A-8,Standard,,,,,,
"""


async def test_every_bad_line_is_named_and_nothing_imported(db: Database, event: str, tmp_path: Path) -> None:
    problems: list[Problem] = []
    (tmp_path / "bad.csv").write_text(BAD)
    with pytest.raises(NothingImported, match="8 of 10 rows"):
        await import_file(db, event, tmp_path / "bad.csv", report=problems.append)
    named = [(3, "code"), (4, "type"), (5, "state"), (6, "valid_from"), (7, "valid_until")]
    assert [(each.line, each.field) for each in problems] == [*named, (9, "id"), (10, "code"), (11, "line")]
    assert await size(db) == 0


async def test_skip_bad_imports_the_good(db: Database, event: str, tmp_path: Path) -> None:
    result, problems = await load(db, tmp_path / "bad.csv", BAD, skip_bad=True)
    assert (result.added, result.bad, len(problems)) == (2, 8, 8)
    assert await size(db) == 2


async def test_an_id_of_another_code_is_named(db: Database, event: str, tmp_path: Path) -> None:
    await import_rows(db, event, [("A", None, "X")])
    result, (problem,) = await load(db, tmp_path / "a.csv", "code,id\nB,X\nC,Y\n", skip_bad=True)
    assert problem.startswith("line 2: id: X is already")
    assert (result.added, result.bad) == (1, 1)


async def test_a_ticket_keeps_the_id_under_which_it_is_known(db: Database, event: str) -> None:
    await import_rows(db, event, [("A", None, "X")])
    result = await import_rows(db, event, [("A",)])
    assert (result.added, result.changed, result.unchanged) == (0, 0, 1)


async def test_one_code_may_stand_for_several_events(db: Database, gate: Gate) -> None:
    await make_event(db, "e-2")
    for event in ("e-1", "e-2"):
        await import_rows(db, event, [("PASS",)])
    assert len((await gate.sync()).tickets) == 2
    (ticket_id,) = {str(row[1]) for row in gate.held.tickets.values()}
    assert await service.set_ticket_state(db, ticket_id, "blocked") == 2
    assert await service.delete_tickets(db, [ticket_id]) == 2
    assert (await gate.sync()).tickets == {}


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "header"),
        ("barcode,type\nA,B\n", "code"),
        ("code,id,id\nA,B,C\n", "id"),
        ("code\nÜ\n".encode("latin-1"), "file"),
    ],
)
async def test_a_file_that_will_not_do(db: Database, event: str, tmp_path: Path, text: str | bytes, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        await load(db, tmp_path / "a.csv", text)
    assert caught.value.field == field


async def test_broken_quotes_are_named(db: Database, event: str, tmp_path: Path) -> None:
    _, problems = await load(db, tmp_path / "a.csv", 'code,seat\nA,"1"x\nB,2\n', skip_bad=True)
    assert [each.split(":")[0] for each in problems] == ["line 2"]
    assert await size(db) == 1


async def test_what_no_database_holds_is_named(db: Database, event: str, tmp_path: Path) -> None:
    text = "code,id,holder,seat\nA,1,Olha\0,\nB,2\0,,\nC,3,,\0\nD\0,4,,\n"
    result, problems = await load(db, tmp_path / "a.csv", text, skip_bad=True)
    assert [each.split(": has")[0] for each in problems] == ["line 2: holder", "line 3: id", "line 4: seat"]
    assert result.added == 1
    with pytest.raises(BadInput, match="source"):
        await import_rows(db, event, [("A",)], source="a\0")


async def test_no_such_file_or_event(db: Database, event: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        await import_file(db, event, tmp_path / "none.csv")
    with pytest.raises(NotFound, match="event"):
        await import_rows(db, "e-9", [("A",)])


async def test_a_type_must_be_named_where_there_are_several(db: Database, event: str) -> None:
    await service.put_ticket_type(db, event=event, name="VIP")
    problems: list[Problem] = []
    with pytest.raises(NothingImported):
        await import_rows(db, event, [ImportRow("A"), ImportRow("B", "vip")], report=problems.append)
    assert [(each.line, each.field) for each in problems] == [(1, "type")]
