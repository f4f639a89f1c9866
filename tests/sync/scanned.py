"""Scans made at a gate under test, and CRMs that will not take some of them."""

from contextlib import closing
from typing import Any

from aiohttp import web

from edge.store.database import connect_read_only
from tests.sync.rig import Rig

Scans = list[dict[str, Any]]


async def record(rig: Rig, count: int) -> None:
    for number in range(1, count + 1):
        await rig.offer(number, f"s-{number}")


def seqs(scans: Scans) -> list[int]:
    return [scan["seq"] for scan in scans]


async def acked(rig: Rig) -> int:
    return (await rig.store.backlog()).acked_seq


async def parked(rig: Rig) -> list[tuple[Any, ...]]:
    return await rig.store.read(lambda tx: tx.journal.execute("SELECT seq, scan_id, code FROM parked").fetchall())


def parked_seqs(rig: Rig) -> list[int]:
    with closing(connect_read_only(rig.store.journal_path)) as journal:
        return [row[0] for row in journal.execute("SELECT seq FROM parked ORDER BY seq")]


def refusing(rig: Rig, *bad: str) -> None:
    """Have the CRM take all scans but these."""

    def judge(scans: Scans) -> dict[str, Any]:
        refused = [scan["scan_id"] for scan in scans if scan["scan_id"] in bad]
        answers = [{"scan_id": each, "code": "invalid", "message": f"try {len(rig.crm.got)}"} for each in refused]
        return {"acked": max(scan["seq"] for scan in scans), "rejected": answers}

    rig.crm.on_scans = judge


def refuses_requests_with(rig: Rig, *bad: str, **headers: str) -> list[int]:
    """Have the CRM refuse each request in which one of these is; return how many scans each request had."""
    sizes: list[int] = []

    def judge(scans: Scans) -> dict[str, Any] | web.Response:
        sizes.append(len(scans))
        refused = any(scan["scan_id"] in bad for scan in scans)
        return web.Response(status=400, headers=headers) if refused else rig.crm.take_all(scans)

    rig.crm.on_scans = judge
    return sizes


def rejected(*scan_ids: str) -> list[dict[str, str]]:
    return [{"scan_id": each, "code": "invalid", "message": f"not {each}"} for each in scan_ids]
