"""Scans that the CRM will not have, or fails at: parked, sent again when a person asks, and in nobody's way."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web

from edge.store.outbox import NotParked, Reject, acknowledge, drop_parked, parked_scans, retry_parked
from edge.store.tx import Tx
from sync import upload
from tests.sync.rig import START, Rig
from tests.sync.scanned import (
    Scans,
    acked,
    parked,
    parked_seqs,
    record,
    refuses_requests_with,
    refusing,
    rejected,
    seqs,
)


async def test_rejected_scans_are_parked_and_the_next_go_on(rig: Rig) -> None:
    def judge(scans: Scans) -> dict[str, Any]:
        bad = [scan["scan_id"] for scan in scans if scan["seq"] == 2]
        return {
            "acked": scans[-1]["seq"],
            "rejected": [{"scan_id": each, "code": "invalid", "message": "at: too old"} for each in bad],
        }

    rig.crm.on_scans = judge
    await record(rig, 3)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 3)
        await rig.offer(4)
        await rig.until(lambda: rig.acked == 4)
    assert await parked(rig) == [(2, "s-2", "invalid")]
    assert seqs(rig.crm.got) == [1, 2, 3, 4]
    assert (await rig.store.backlog()).parked == 1


async def test_a_parked_scan_is_sent_again_when_asked(rig: Rig) -> None:
    refusing(rig, "s-1", "s-2")
    await record(rig, 3)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 3)
        refusing(rig, "s-2")
        assert await rig.store.write(lambda tx: retry_parked(tx, None)) == 2
        await rig.until(lambda: len(rig.crm.got) == 5)
        await rig.offer(4, "s-4")
        await rig.until(lambda: rig.acked == 4)
    assert [scan["scan_id"] for scan in rig.crm.got] == ["s-1", "s-2", "s-3", "s-1", "s-2", "s-4"]
    (left,) = await rig.store.read(lambda tx: parked_scans(tx.journal))
    assert (left.scan_id, left.message, left.retry, left.body["code"]) == ("s-2", "try 3", False, "CODE-2")


async def test_a_dropped_scan_keeps_its_reason_and_is_never_sent(rig: Rig) -> None:
    refusing(rig, "s-2")
    await record(rig, 3)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 3)
        await rig.store.write(lambda tx: drop_parked(tx, "s-2", "a test before the doors", START))
        with pytest.raises(NotParked, match="no parked scan s-2"):
            await rig.store.write(lambda tx: drop_parked(tx, "s-2", "again", START))
        with pytest.raises(NotParked):
            await rig.store.write(lambda tx: retry_parked(tx, "s-2"))
        assert await rig.store.write(lambda tx: retry_parked(tx, None)) == 0
    assert (await rig.store.backlog()).parked == 0
    dropped = await rig.store.read(lambda tx: tx.journal.execute("SELECT seq, reason FROM dropped").fetchall())
    assert dropped == [(2, "a test before the doors")]
    assert len(await rig.store.scans_after(0, 10)) == 3


async def test_a_parked_scan_of_the_release_before_has_its_body_from_the_journal(rig: Rig) -> None:
    refusing(rig, "s-1")
    await record(rig, 1)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 1)
        await rig.store.write(lambda tx: tx.journal.execute("UPDATE parked SET body = NULL"))
        refusing(rig)
        await rig.store.write(lambda tx: retry_parked(tx, "s-1"))
        await rig.until(lambda: len(rig.crm.got) == 2)
    assert rig.crm.got[0] == rig.crm.got[1]


@pytest.mark.parametrize("status", [400, 409, 413, 422])
async def test_a_scan_for_which_the_crm_refuses_the_whole_request_is_parked_too(rig: Rig, status: int) -> None:
    def judge(scans: Scans) -> dict[str, Any] | web.Response:
        if any(scan["scan_id"] == "s-3" for scan in scans):
            return web.json_response({"error": {"code": "bad", "message": "seat: not known"}}, status=status)
        return rig.crm.take_all(scans)

    rig.crm.on_scans = judge
    await record(rig, 6)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 6)
    (left,) = await rig.store.read(lambda tx: parked_scans(tx.journal))
    assert (left.scan_id, left.code) == ("s-3", f"http_{status}")
    assert left.message == f"/gate/v1/scans: {status}: seat: not known"


@pytest.mark.parametrize("number", [1, 150, 300])
async def test_one_scan_for_which_requests_are_refused_holds_up_nobody(rig: Rig, number: int) -> None:
    sizes = refuses_requests_with(rig, f"s-{number}")
    await record(rig, 300)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 300)
    assert [row[0] for row in await parked(rig)] == [number]
    assert rig.sleeper.delays == []
    assert sizes[:2] == [300, 150], "half of what was sent"
    assert len(sizes) <= 22


async def test_a_crm_that_refuses_whatever_is_sent_has_no_journal_parked_in_a_minute(rig: Rig) -> None:
    refuses_requests_with(rig, *(f"s-{number}" for number in range(1, 31)))
    rig.sleeper.naps = 2
    await record(rig, 30)
    async with rig.running("scans"):
        await rig.until(lambda: len(rig.sleeper.delays) == 3)
    assert await acked(rig) <= 4
    assert all(0.5 <= delay <= 1.0 for delay in rig.sleeper.delays)


async def test_a_crm_that_refuses_and_asks_for_time_is_given_it(rig: Rig) -> None:
    refuses_requests_with(rig, "s-1", **{"Retry-After": "7"})
    await record(rig, 2)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 2)
    assert rig.sleeper.delays == [7.0]


async def test_rejects_of_scans_that_were_never_sent_are_ignored(rig: Rig) -> None:
    rig.crm.on_scans = lambda scans: {
        "acked": scans[-1]["seq"],
        "rejected": [{"scan_id": "s-999", "code": "x" * 500, "message": "y" * 5000}],
    }
    await record(rig, 1)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 1)
    assert await parked(rig) == []


async def test_of_very_many_rejects_those_of_the_request_are_parked_once_and_told_in_one_line(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    many = rejected("s-2", "s-3", "s-2", *(f"x-{number}" for number in range(20_000)))
    rig.crm.on_scans = lambda scans: {"acked": scans[-1]["seq"], "rejected": many}
    await record(rig, 3)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 3)
    assert await parked(rig) == [(2, "s-2", "invalid"), (3, "s-3", "invalid")]
    told = [each.getMessage() for each in caplog.records if each.name == "sync.upload" and each.levelname == "WARNING"]
    assert told == ["scans: the CRM refused 2; s-2: invalid: not s-2"]


async def test_a_scan_that_the_crm_has_is_not_parked_by_what_is_said_later(rig: Rig) -> None:
    await record(rig, 1)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 1)
        rig.crm.on_scans = lambda scans: {"acked": scans[-1]["seq"], "rejected": rejected("s-1")}
        await rig.offer(2, "s-2")
        await rig.until(lambda: rig.acked == 2)
    assert await parked(rig) == []


async def test_a_reject_behind_what_is_acked_waits_for_the_answer_that_settles_it(rig: Rig) -> None:
    answers: list[dict[str, Any]] = [{"acked": 1, "rejected": rejected("s-2")}, {"acked": 2}]
    rig.crm.on_scans = lambda _: answers.pop(0)
    await record(rig, 2)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 2)
    assert await parked(rig) == []


async def test_many_rejects_are_parked_part_by_part_each_with_the_rows_up_to_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane waits for each transaction."""
    noted: list[tuple[int, int]] = []

    def note(tx: Tx, acked: int, rejects: Sequence[Reject], now: datetime) -> None:
        noted.append((acked, len(rejects)))
        acknowledge(tx, acked, rejects, now)

    monkeypatch.setattr(upload, "acknowledge", note)
    rig.crm.on_scans = lambda scans: {
        "acked": scans[-1]["seq"],
        "rejected": rejected(*(scan["scan_id"] for scan in scans if scan["seq"] <= 120)),
    }
    await record(rig, 130)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 130)
    assert noted == [(50, 50), (100, 50), (120, 20), (130, 0)]
    assert [row[0] for row in await parked(rig)] == list(range(1, 121))


async def test_a_parked_scan_at_which_the_crm_fails_again_is_in_nobodys_way(rig: Rig) -> None:
    rig.sleeper.naps = 0  # what failed is left alone for ever
    refusing(rig, "s-1")
    await record(rig, 1)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 1)

        def judge(scans: Scans) -> dict[str, Any] | web.Response:
            failing = any(scan["scan_id"] == "s-1" for scan in scans)
            return web.Response(status=500) if failing else rig.crm.take_all(scans)

        rig.crm.on_scans = judge
        await rig.store.write(lambda tx: retry_parked(tx, None))
        await rig.until(lambda: len(rig.sleeper.delays) == 1)
        await rig.offer(2, "s-2")
        await rig.until(lambda: rig.acked == 2)
        await rig.offer(3, "s-3")
        await rig.until(lambda: rig.acked == 3)
    assert [scan["scan_id"] for scan in rig.crm.got] == ["s-1", "s-1", "s-2", "s-3"]


async def test_a_parked_scan_at_which_the_crm_fails_is_in_no_other_ones_way(rig: Rig) -> None:
    refusing(rig, *(f"s-{number}" for number in range(1, 8)))
    await record(rig, 7)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 7)

        def judge(scans: Scans) -> dict[str, Any] | web.Response:
            failing = any(scan["scan_id"] in {"s-1", "s-4"} for scan in scans)
            return web.Response(status=500) if failing else rig.crm.take_all(scans)

        rig.crm.on_scans = judge
        await rig.store.write(lambda tx: retry_parked(tx, None))
        await rig.until(lambda: parked_seqs(rig) == [1, 4])
        await rig.until(lambda: rig.sleeper.delays[-1] >= 30)
        assert set(seqs(rig.crm.got[-2:])) == {1, 4}, "each in its turn, and ever more seldom"
        rig.crm.on_scans = rig.crm.take_all
        await rig.until(lambda: parked_seqs(rig) == [])


async def test_a_partial_ack_of_parked_scans_has_the_rest_sent_again(rig: Rig) -> None:
    refusing(rig, "s-1", "s-2", "s-3")
    await record(rig, 3)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 3)
        answers = [2, 3]
        rig.crm.on_scans = lambda _: {"acked": answers.pop(0)}
        await rig.store.write(lambda tx: retry_parked(tx, None))
        await rig.until(lambda: not answers)
    assert seqs(rig.crm.got) == [1, 2, 3, 1, 2, 3, 3]


async def test_parked_scans_go_again_after_those_that_are_new(rig: Rig) -> None:
    refusing(rig, "s-1")
    await record(rig, 1)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 1)
    refusing(rig)
    await rig.store.write(lambda tx: retry_parked(tx, None))
    await rig.offer(2, "s-2")
    async with rig.running("scans"):
        await rig.until(lambda: len(rig.crm.got) == 3)
    assert [scan["scan_id"] for scan in rig.crm.got] == ["s-1", "s-2", "s-1"]
