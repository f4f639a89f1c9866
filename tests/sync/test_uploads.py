"""Scans out: in order, each kept until the CRM has it, whatever the CRM answers."""

import math
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sync import upload
from tests.sync.book import Book, everything
from tests.sync.rig import Rig, ScriptedCrm, open_rig, served
from tests.sync.scanned import Scans, acked, record, seqs

CONFLICT: dict[str, Any] = {
    "scan_id": "s-2",
    "ticket_id": "T-1",
    "event": "e-1",
    "scans": [
        {"scan_id": "s-1", "device": "d-1", "checkpoint": "c-1", "at": "2026-05-01T18:00:00Z"},
        {"scan_id": "s-2", "device": "d-2", "checkpoint": None, "at": "2026-05-01T18:01:00Z"},
    ],
}


async def test_scans_are_sent_in_order_and_as_they_come(rig: Rig) -> None:
    await record(rig, 3)
    async with rig.running("scans"):
        await rig.until(lambda: len(rig.crm.got) == 3)
        await rig.offer(4, "s-4")
        await rig.until(lambda: len(rig.crm.got) == 4)
    assert [(scan["seq"], scan["scan_id"]) for scan in rig.crm.got] == [(n, f"s-{n}") for n in (1, 2, 3, 4)]
    assert [scan["code"] for scan in rig.crm.got] == ["CODE-1", "CODE-2", "CODE-3", "CODE-4"]


async def test_more_than_a_batch_goes_in_several(rig: Rig) -> None:
    sizes: list[int] = []

    def take(scans: Scans) -> dict[str, Any]:
        sizes.append(len(scans))
        return rig.crm.take_all(scans)

    rig.crm.on_scans = take
    await record(rig, 1100)
    async with rig.running("scans"):
        await rig.until(lambda: len(rig.crm.got) == 1100)
    assert sizes == [500, 500, 100]
    assert seqs(rig.crm.got) == list(range(1, 1101))


async def test_long_codes_go_in_shorter_batches(rig: Rig) -> None:
    sizes: list[int] = []

    def take(scans: Scans) -> dict[str, Any]:
        sizes.append(len(scans))
        return rig.crm.take_all(scans)

    rig.crm.on_scans = take
    for number in range(100):
        await rig.lane.offer("\N{BLACK STAR}" * 4000 + str(number))
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 100)
    assert sum(sizes) == 100
    assert all(50 <= size < 70 for size in sizes[:-1])


async def test_what_is_acked_is_not_sent_again(rig: Rig) -> None:
    await record(rig, 3)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 3)
    rig.crm.got.clear()
    async with rig.running("scans"):
        await rig.offer(4)
        await rig.until(lambda: bool(rig.crm.got))
    assert seqs(rig.crm.got) == [4]


async def test_a_partial_ack_has_the_rest_sent_again(rig: Rig) -> None:
    answers = [2, 3, 5]
    rig.crm.on_scans = lambda _: {"acked": answers.pop(0)}
    await record(rig, 5)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 5)
    assert seqs(rig.crm.got) == [1, 2, 3, 4, 5, 3, 4, 5, 4, 5]
    assert rig.sleeper.delays == []


async def test_a_crm_that_acks_nothing_is_asked_again_with_growing_delays(rig: Rig) -> None:
    rig.crm.on_scans = lambda _: {"acked": 0}
    await record(rig, 4)
    rig.sleeper.naps = 3
    async with rig.running("scans"):
        await rig.until(lambda: len(rig.sleeper.delays) == 4)
    assert await acked(rig) == 0
    assert seqs(rig.crm.got) == [1, 2, 3, 4, 1, 2, 1, 1], "and ever fewer, from what was sent"
    assert rig.sleeper.delays[3] >= 4


async def test_a_crm_that_acks_too_much_is_believed_for_what_was_sent(rig: Rig) -> None:
    rig.crm.on_scans = lambda _: {"acked": 1_000_000}
    await record(rig, 2)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 2)
        await rig.offer(3)
        await rig.until(lambda: rig.acked == 3)
    assert seqs(rig.crm.got) == [1, 2, 3]


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=500),
        web.json_response([]),
        web.json_response({"acked": -1}),
        web.json_response({"acked": "3"}),
        web.Response(text='{"acked": 3'),
    ],
)
async def test_a_broken_answer_loses_nothing(rig: Rig, answer: web.Response) -> None:
    answers: list[dict[str, Any] | web.Response] = [answer]
    rig.crm.on_scans = lambda scans: answers.pop() if answers else rig.crm.take_all(scans)
    await record(rig, 3)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 3)
    assert sorted(set(seqs(rig.crm.got))) == [1, 2, 3]


async def test_a_conflict_is_shown_once_whichever_way_it_comes(rig: Rig, book: Book) -> None:
    rig.crm.on_scans = lambda scans: {"acked": scans[-1]["seq"], "conflicts": [{**CONFLICT, "colour": "red"}]}
    rig.crm.answers(everything(1, book=book), [{"kind": "conflict", **CONFLICT}, book.cursor("k-2")])
    await record(rig, 1)
    async with rig.running("changes", "scans"):
        await rig.until(lambda: rig.acked == 1 and rig.store.data.cursor == "k-2")
        await rig.offer(2)
        await rig.until(lambda: rig.acked == 2)
    assert [each.scan_id for each in rig.host.shown] == ["s-2"]
    assert (await rig.store.backlog()).conflicts == 1


async def test_a_conflict_before_a_cut_is_not_lost(rig: Rig, book: Book) -> None:
    """It comes again with the cursor behind it."""
    conflict = {"kind": "conflict", **CONFLICT}
    rig.crm.answers(everything(1, book=book), [conflict, b'{"kind"'], [conflict, book.cursor("k-2")])
    async with rig.running():
        await rig.until_at("k-2")
    assert [each.ticket_id for each in rig.host.shown] == ["T-1"]


@pytest.mark.parametrize(("every_s", "known"), [(0.0, [0, 4, 8]), (math.inf, [0, 0, 0])])
async def test_in_a_backlog_it_is_written_down_now_and_then_what_the_crm_has(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, every_s: float, known: list[int]
) -> None:
    """Each time costs a flush, for which a lane may have to wait; at the end it is written in any case."""
    monkeypatch.setattr(upload, "BATCH", 4)
    monkeypatch.setattr(upload, "NOTE_EVERY_S", every_s)
    seen: list[int] = []

    def take(scans: Scans) -> dict[str, Any]:
        seen.append(rig.acked)
        return rig.crm.take_all(scans)

    rig.crm.on_scans = take
    await record(rig, 10)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 10)
    assert seen == known
    assert seqs(rig.crm.got) == list(range(1, 11))


async def test_what_was_not_written_down_before_the_power_went_is_sent_again(tmp_path: Path, crm: ScriptedCrm) -> None:
    async with served(crm.app()) as url:
        async with open_rig(tmp_path / "gate", url, crm) as rig:
            await record(rig, 6)
            await rig.store.read(lambda tx: tx.journal.execute("PRAGMA query_only=ON"))
            async with rig.running("scans"):
                await rig.until(lambda: bool(rig.sleeper.delays))
            await rig.store.read(lambda tx: tx.journal.execute("PRAGMA query_only=OFF"))
            assert rig.acked == 0
        async with open_rig(tmp_path / "gate", url, crm) as rig, rig.running("scans"):
            await rig.until(lambda: rig.acked == 6)
        assert seqs(crm.got) == [*range(1, 7), *range(1, 7)]


async def test_what_the_crm_has_is_not_sent_again_for_want_of_a_disk(rig: Rig) -> None:
    await record(rig, 2)
    await rig.store.read(lambda tx: tx.journal.execute("PRAGMA query_only=ON"))
    async with rig.running("scans"):
        await rig.until(lambda: len(rig.sleeper.delays) == 3)
        await rig.store.read(lambda tx: tx.journal.execute("PRAGMA query_only=OFF"))
        await rig.until(lambda: rig.acked == 2)
    assert seqs(rig.crm.got) == [1, 2]


async def test_what_was_read_ahead_is_not_sent_before_what_the_crm_left_out(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "BATCH", 4)
    answers = [4, 6]
    rig.crm.on_scans = lambda scans: {"acked": answers.pop(0)} if answers else rig.crm.take_all(scans)
    await record(rig, 12)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 12)
    assert seqs(rig.crm.got) == [1, 2, 3, 4, 5, 6, 7, 8, 7, 8, 9, 10, 11, 12]


async def test_after_a_failure_in_a_backlog_it_goes_on_where_it_was(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "BATCH", 4)
    monkeypatch.setattr(upload, "NOTE_EVERY_S", math.inf)
    fails = [False, True]
    known: list[int] = []

    def judge(scans: Scans) -> dict[str, Any] | web.Response:
        known.append(rig.acked)
        return web.Response(status=503) if fails and fails.pop(0) else rig.crm.take_all(scans)

    rig.crm.on_scans = judge
    await record(rig, 12)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 12)
    assert seqs(rig.crm.got) == [1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8, 9, 10, 11, 12]
    assert known[:3] == [0, 0, 4], "what it has is written down before it is left alone"


async def test_a_conflict_that_cannot_be_kept_is_asked_for_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "BATCH", 2)
    rig.crm.on_scans = lambda scans: {
        "acked": scans[-1]["seq"],
        "conflicts": [CONFLICT] if scans[0]["seq"] == 1 else [],
    }
    await record(rig, 6)
    await rig.store.read(lambda tx: tx.journal.execute("PRAGMA query_only=ON"))
    async with rig.running("scans"):
        await rig.until(lambda: len(rig.sleeper.delays) == 2)
        await rig.store.read(lambda tx: tx.journal.execute("PRAGMA query_only=OFF"))
        await rig.until(lambda: rig.acked == 6)
    assert [each.scan_id for each in rig.host.shown] == ["s-2"]
    assert set(seqs(rig.crm.got[:-4])) == {1, 2}, "none went before those of the conflict"
    assert seqs(rig.crm.got[-4:]) == [3, 4, 5, 6]


async def test_an_answer_that_cannot_be_kept_is_asked_for_again_with_growing_delays(rig: Rig) -> None:
    await record(rig, 2)
    rig.sleeper.naps = 3
    await rig.store.read(lambda tx: tx.journal.execute("PRAGMA query_only=ON"))
    async with rig.running("scans"):
        await rig.until(lambda: len(rig.sleeper.delays) == 4)
    assert rig.sleeper.delays[3] > 3.9
    await rig.store.read(lambda tx: tx.journal.execute("PRAGMA query_only=OFF"))
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 2)


async def test_a_crm_that_takes_few_at_once_is_not_offered_many_each_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "BATCH", 16)
    rig.crm.on_scans = lambda scans: web.Response(status=413) if len(scans) > 1 else rig.crm.take_all(scans)
    await record(rig, 10)
    async with rig.running("scans"):
        await rig.until(lambda: rig.acked == 10)
    assert len(rig.sleeper.delays) < 15
