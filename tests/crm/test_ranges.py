"""A difference is narrowed by prefix and healed by range."""

from typing import Any

import pytest

from crm.database import Database
from edge.core.barcodes import parse_lookup
from edge.core.fingerprint import Fingerprint, row_digest
from tests.crm.conftest import Gate, lines_of, make_event, sell


async def fingerprints(gate: Gate, prefix: str | None = None) -> dict[str, Any]:
    params = {} if prefix is None else {"prefix": prefix}
    async with gate.client.get("/gate/v1/fingerprints", params=params, headers=gate.headers) as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


def of(rows: list[list[Any]]) -> tuple[int, str]:
    found = Fingerprint()
    for row in rows:
        found = found.plus(row_digest(*row[:6]))
    return found.count, found.hex()


async def test_every_range_has_the_fingerprint_of_its_rows(db: Database, gate: Gate) -> None:
    await make_event(db, "e-2")
    await sell(db, 300)
    await sell(db, 20, "e-2")
    rows = list((await gate.sync()).tickets.values())
    hexes = {str(row[0]): parse_lookup(str(row[0])).hex() for row in rows}
    whole = hexes[str(rows[0][0])]
    for prefix in (None, "", whole[:1], whole[:2].upper(), whole[:3], whole[:31], whole):
        start = (prefix or "").lower()
        inside = [row for row in rows if hexes[str(row[0])].startswith(start)]
        found = await fingerprints(gate, prefix)
        assert (found["count"], found["fingerprint"]) == of(inside)
        assert len(found["children"]) == (16 if len(start) < 32 else 0)
        for digit, child in found["children"].items():
            part = [row for row in inside if hexes[str(row[0])].startswith(start + digit)]
            assert (child["count"], child["fingerprint"]) == of(part)


async def test_a_range_of_tickets_ends_in_a_cursor(db: Database, gate: Gate) -> None:
    await make_event(db, "e-2")
    await sell(db, 50)
    await sell(db, 50, "e-2")
    rows = list((await gate.sync()).tickets.values())
    for prefix in ("", "0", "7f"):
        params = {"prefix": prefix}
        async with gate.client.get("/gate/v1/tickets", params=params, headers=gate.headers) as answer:
            *tickets, cursor = lines_of(await answer.read())
        got = [row for line in tickets for row in line["rows"]]
        assert of(got) == of([row for row in rows if parse_lookup(str(row[0])).hex().startswith(prefix)])
        assert (cursor["kind"], cursor["cursor"], cursor["more"]) == ("cursor", gate.held.cursor, False)
        assert (cursor["tickets"], cursor["fingerprint"]) == of(rows)


@pytest.mark.parametrize("path", ["fingerprints", "tickets"])
@pytest.mark.parametrize("prefix", ["x", "0x", "0" * 33, "é"])
async def test_a_garbage_prefix_is_400(gate: Gate, path: str, prefix: str) -> None:
    async with gate.client.get(f"/gate/v1/{path}", params={"prefix": prefix}, headers=gate.headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["message"].startswith("prefix:")


@pytest.mark.parametrize("path", ["fingerprints", "tickets"])
async def test_ranges_need_a_token(gate: Gate, path: str) -> None:
    async with gate.client.get(f"/gate/v1/{path}") as answer:
        assert answer.status == 401
