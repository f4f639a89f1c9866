"""What the API answers to scans, and what it keeps of them."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from pytest_aiohttp import AiohttpClient
from yarl import URL

from edge.core.model import Checkpoint
from edge.store.tx import Tx
from edge.web.answers import HistoryAnswer, NoticeAnswer, ScanAnswer, ScansAnswer

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue


async def test_ticket_is_admitted_once_and_then_refused_with_why(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    await venue.sells("T-1", holder="Іван Франко", seat="A-12")
    client = await aiohttp_client(venue.app())
    first = await client.post("/api/v1/scans", json={"code": "T-1", "scan_id": "s-1"})
    assert first.status == 200
    admitted = ScanAnswer.model_validate(await first.json())
    assert (admitted.verdict, admitted.lane, admitted.repeat) == ("admitted", "north-1", False)
    assert admitted.ticket is not None
    assert (admitted.ticket.holder, admitted.ticket.type_name) == ("Іван Франко", "Фан-зона")
    second = await client.post("/api/v1/scans", json={"code": "T-1", "lane": "north-2", "scan_id": "s-2"})
    refused = ScanAnswer.model_validate(await second.json())
    assert (refused.verdict, refused.reason) == ("refused", "already_used")
    assert "19:02" in refused.message


async def test_same_scan_id_gives_the_same_answer(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    await venue.sells("T-1")
    client = await aiohttp_client(venue.app())
    answers = [
        await (await client.post("/api/v1/scans", json={"code": "T-1", "scan_id": "s-1"})).json() for _ in range(3)
    ]
    kept = [{key: each[key] for key in each if key not in {"took_ms", "repeat"}} for each in answers]
    assert kept[0] == kept[1] == kept[2]
    assert [each["repeat"] for each in answers] == [False, True, True]
    journal = await (await client.get("/api/v1/scans")).json()
    assert [row["scan_id"] for row in journal["scans"]] == ["s-1"]


async def test_two_lanes_and_ten_clients_admit_one_ticket_once(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    await venue.sells("T-1")
    clients = [await aiohttp_client(venue.app()) for _ in range(10)]
    verdicts: list[str] = []

    async def scan(number: int) -> None:
        lane = f"north-{number % 2 + 1}"
        body = {"code": "T-1", "lane": lane, "scan_id": f"s-{number}"}
        async with clients[number].post("/api/v1/scans", json=body) as response:
            verdicts.append((await response.json())["verdict"])

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(scan(number), name=f"client {number}")
    assert sorted(verdicts) == ["admitted"] + ["refused"] * 9


async def test_exit_lane_lets_out(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    await venue.sells("T-1", type="pass")
    client = await aiohttp_client(venue.app())
    await client.post("/api/v1/scans", json={"code": "T-1"})
    answer = await (await client.post("/api/v1/scans", json={"code": "T-1", "lane": "out", "direction": "exit"})).json()
    assert (answer["verdict"], answer["direction"]) == ("exited", "exit")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"code": "T-1", "lane": "south"}, 404, "lane"),
        ({"code": "T-1", "direction": "exit"}, 409, "direction"),
        ({"code": "T-1", "direction": "sideways"}, 400, "direction"),
        ({}, 400, "code"),
        ({"code": None}, 400, "code"),
        ({"code": 17}, 400, "code"),
        ({"code": ["T-1"]}, 400, "code"),
        ({"code": "T-1", "lanes": "north-1"}, 400, "lanes"),
        ({"code": "T-1", "\ud800": 1}, 400, "\ufffd"),
        ({"code": "T-1", "scan_id": ""}, 400, "scan_id"),
        ({"code": "T-1", "scan_id": "a b"}, 400, "scan_id"),
        ({"code": "T-1", "scan_id": "a\x00b"}, 400, "scan_id"),
        ({"code": "T-1", "scan_id": "x" * 101}, 400, "scan_id"),
        ({"code": "x" * 1_000_000}, 413, "code"),
        ({"code": "x", "k" * 1000: 1}, 400, "k" * 100),
    ],
)
async def test_bad_scans_are_refused_by_field(
    venue: "Venue", aiohttp_client: AiohttpClient, body: dict[str, Any], status: int, field: str
) -> None:
    client = await aiohttp_client(venue.app())
    response = await client.post("/api/v1/scans", json=body)
    text = await response.text()
    assert response.status == status
    error = json.loads(text)["error"]
    assert error["field"] == field
    assert error["message"].startswith(f"{field}: ")
    assert len(text) < 2000
    assert (await venue.box.store.backlog()).head_seq == 0


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b'{"code": "\xff"}', b"[]", b'"T-1"', b"null", b'{"code": NaN}', b"[" * 60_000, b"9" * 60_000, b"\x00"],
)
async def test_what_is_no_json_object_is_refused(venue: "Venue", aiohttp_client: AiohttpClient, raw: bytes) -> None:
    client = await aiohttp_client(venue.app())
    for headers in ({"Content-Type": "application/json"}, {}):
        response = await client.post(
            "/api/v1/scans", data=raw, headers=headers, skip_auto_headers={"Content-Type"} if not headers else None
        )
        error = (await response.json())["error"]
        assert (response.status, error["code"], error["field"]) == (400, "bad_request", "body")
        assert len(error["message"]) < 300


@pytest.mark.parametrize("code", ["\ud800", "T-1\x00", "\x00", "", "x" * 4097, "𝕋" * 4096, "\u202e1-T", '";--'])
async def test_every_string_has_a_verdict(venue: "Venue", aiohttp_client: AiohttpClient, code: str) -> None:
    client = await aiohttp_client(venue.app())
    response = await client.post("/api/v1/scans", json={"code": code})
    assert response.status == 200
    assert (await response.json())["verdict"] == "refused"
    assert (await client.get("/api/v1/scans")).status == 200
    assert (await client.get("/api/v1/history")).status == 200


async def test_packed_body_is_refused_and_told_how_to_send_it(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    response = await client.post("/api/v1/scans", data=b"this is no gzip", headers=headers)
    assert (response.status, (await response.json())["error"]["code"]) == (415, "wrong_encoding")


@pytest.mark.parametrize("scan_id", ["%ff", "%ED%A0%80", "%00", "x" * 3000])
async def test_strange_names_of_scans_are_just_not_found(
    venue: "Venue", aiohttp_client: AiohttpClient, scan_id: str
) -> None:
    client = await aiohttp_client(venue.app())
    url = URL(f"/api/v1/scans/{scan_id}/override", encoded=True)
    response = await client.post(url, json={"reason": "lost", "badge": "BADGE-1"})
    assert (response.status, (await response.json())["error"]["field"]) == (404, "id")


async def test_body_of_many_small_pieces_is_bounded(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b"x" * 1024

    client = await aiohttp_client(venue.app())
    response = await client.post("/api/v1/scans", data=endless(), headers={"Content-Type": "application/json"})
    assert response.status == 413


async def test_journal_is_read_in_order_and_in_pieces(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    for number in range(5):
        await client.post("/api/v1/scans", json={"code": f"X-{number}"})
    page = ScansAnswer.model_validate(await (await client.get("/api/v1/scans?after=1&limit=2")).json())
    assert [(row.seq, row.code) for row in page.scans] == [(2, "X-1"), (3, "X-2")]
    for query, field in (("after=x", "after"), ("after=-1", "after"), ("limit=0", "limit"), ("limit=1001", "limit")):
        response = await client.get(f"/api/v1/scans?{query}")
        assert (response.status, (await response.json())["error"]["field"]) == (400, field)


async def test_history_is_newest_first_and_of_one_lane(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    await venue.sells("T-1")
    client = await aiohttp_client(venue.app())
    await client.post("/api/v1/scans", json={"code": "T-1"})
    await client.post("/api/v1/scans", json={"code": "T-1", "lane": "north-2"})
    await client.post("/api/v1/scans", json={"code": "X-1"})
    found = HistoryAnswer.model_validate(await (await client.get("/api/v1/history?limit=5")).json())
    assert [each.verdict for each in found.scans] == ["refused", "admitted"]
    assert (await client.get("/api/v1/history?lane=south")).status == 404


async def test_nobody_is_admitted_without_a_record(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    await venue.sells("T-1")
    client = await aiohttp_client(venue.app())

    def fill_up(pages: int) -> Any:
        def job(tx: Tx) -> None:
            tx.journal.execute(f"PRAGMA max_page_count={pages}")

        return job

    await venue.box.store.read(fill_up(1))
    for _ in range(500):  # the last page in use takes a few rows more
        response = await client.post("/api/v1/scans", json={"code": "x" * 4000})
        if response.status != 200:
            break
    assert response.status == 503
    assert (await response.json())["error"]["code"] == "cannot_record"
    ready = await client.get("/readyz")
    assert ready.status == 503
    assert "cannot be written" in (await ready.json())["error"]["message"]
    assert (await client.get("/healthz")).status == 200
    assert (await client.get("/api/v1/status")).status == 200
    await venue.box.store.read(fill_up(1_000_000))
    assert (await client.post("/api/v1/scans", json={"code": "X-9"})).status == 200
    assert (await client.get("/readyz")).status == 200


async def test_closed_checkpoint_says_so(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    await venue.sells("T-1")
    await venue.puts("checkpoint", "c-north", Checkpoint("c-north", "concert", "North gate", hours=()))
    client = await aiohttp_client(venue.app())
    answer = await (await client.post("/api/v1/scans", json={"code": "T-1"})).json()
    assert answer["reason"] == "checkpoint_closed"


async def test_badge_is_no_scan_and_opens_a_shift_once(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    said: list[tuple[str, str]] = []
    for pause_s in (0, 2.9, 2.9, 3, 1):  # the badge is taken away for `repeat_s` once, before the fourth read
        venue.desk_time.ticks += pause_s
        response = await client.post("/api/v1/scans", json={"code": "BADGE-1", "lane": "north-2"})
        assert response.status == 202
        notice = NoticeAnswer.model_validate(await response.json())
        assert (notice.lane, "Тарас Шевчук" in notice.message) == ("north-2", True)
        shift = (await (await client.get("/api/v1/status")).json())["shift"]["north-2"]
        said.append((notice.notice, *shift))
    opened, closed = ("shift_opened", "taras"), ("shift_closed",)
    assert said == [opened, opened, opened, closed, closed]
    assert (await venue.box.store.backlog()).head_seq == 0


async def test_badge_of_another_checkpoint_opens_no_shift(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    theirs = Checkpoint("c-north", "concert", "North gate", controllers=("olena",))
    await venue.puts("checkpoint", "c-north", theirs)
    client = await aiohttp_client(venue.app())
    response = await client.post("/api/v1/scans", json={"code": "BADGE-1"})
    notice = NoticeAnswer.model_validate(await response.json())
    assert (response.status, notice.notice, notice.look) == (202, "not_assigned", "refused")
    assert (await (await client.get("/api/v1/status")).json())["shift"]["north-1"] == []


async def test_enrolled_box_takes_no_enrolment_code(venue: "Venue", aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client(venue.app())
    code = json.dumps({"brama": 1, "url": "https://another.example", "code": "ABC"})
    response = await client.post("/api/v1/scans", json={"code": code})
    notice = NoticeAnswer.model_validate(await response.json())
    assert (response.status, notice.notice, notice.look) == (202, "already_enrolled", "refused")
    assert "Kyiv Concerts" in notice.message
    assert (await venue.box.store.backlog()).head_seq == 0
