"""A turnstile behind an HTTP relay: on once, off always, and whatever fails says what to do."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Literal

import pytest

from drivers.line_guard import send
from drivers.protocols import DeviceLost, DeviceRefused
from drivers.turnstile_http import HttpCall, HttpTurnstile
from tests.drivers.relays import (
    LONG_MS,
    TIMEOUT_S,
    Diary,
    HttpRelay,
    NotedGuard,
    an_http_relay,
    tls_of_localhost,
    working,
)

SOON_S = 0.5


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def guard(diary: Diary) -> NotedGuard:
    return NotedGuard(diary)


@pytest.fixture
async def relay(diary: Diary) -> AsyncIterator[HttpRelay]:
    async with an_http_relay(diary) as made:
        yield made


def a_turnstile(
    relay: HttpRelay, guard: NotedGuard | None = None, pulse_ms: int = 1, timeout_s: float = TIMEOUT_S
) -> HttpTurnstile:
    on, off = HttpCall("GET", f"{relay.url}/on"), HttpCall("GET", f"{relay.url}/off")
    return HttpTurnstile(on, off, pulse_ms, timeout_s, guard)


async def test_a_guest_is_let_through(relay: HttpRelay, guard: NotedGuard, diary: Diary) -> None:
    turnstile = a_turnstile(relay, guard)
    assert turnstile.passage_timeout_s is None
    async with working(turnstile):
        await turnstile.release()
        await turnstile.release()
    assert diary.lines == ["arm", "/on", "/off", "disarm"] * 2
    assert not relay.is_on


async def test_a_relay_that_ends_its_pulse_itself_is_called_once(
    relay: HttpRelay, guard: NotedGuard, diary: Diary
) -> None:
    turnstile = HttpTurnstile(HttpCall("GET", f"{relay.url}/on"), None, LONG_MS, TIMEOUT_S, guard)
    async with working(turnstile):
        await turnstile.release()
    assert diary.lines == ["/on"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_a_call_is_sent_as_the_settings_say(relay: HttpRelay, method: Literal["GET", "POST", "PUT"]) -> None:
    url = relay.url.replace("http://", "http://ga%40te:p%3Ass@") + "/on?relay=0&mode=a%20b"
    call = HttpCall(method, url, '{"on":true,"імʼя":1}', "application/json")
    turnstile = HttpTurnstile(call, None, 1, TIMEOUT_S)
    async with working(turnstile):
        await turnstile.release()
    ((sent, path, headers, body),) = relay.requests
    assert (sent, path, body) == (method, "/on?relay=0&mode=a%20b", '{"on":true,"імʼя":1}')
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Basic Z2FAdGU6cDpzcw=="


async def test_a_released_turnstile_that_is_cancelled_is_locked_first(
    relay: HttpRelay, guard: NotedGuard, diary: Diary
) -> None:
    relay.held["/off"] = asyncio.Event()
    turnstile = a_turnstile(relay, guard, LONG_MS)
    async with working(turnstile):
        task = asyncio.create_task(turnstile.release(), name="release")
        await diary.until(lambda: relay.is_on)
        task.cancel()
        await diary.until(lambda: "/off" in diary.lines)
        # The relay takes its time to answer, and whoever cancels has no patience.
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        relay.held["/off"].set()
        await asyncio.wait([task])
    assert task.cancelled()
    assert diary.lines == ["arm", "/on", "/off", "disarm"]


async def test_cancelled_before_the_relay_has_answered_it_is_locked_too(
    relay: HttpRelay, guard: NotedGuard, diary: Diary
) -> None:
    relay.held["/on"] = asyncio.Event()
    turnstile = a_turnstile(relay, guard, LONG_MS)
    async with working(turnstile):
        task = asyncio.create_task(turnstile.release(), name="release")
        await diary.until(lambda: relay.is_on)
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert diary.lines == ["arm", "/on", "/off", "disarm"]


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancellation_that_meets_the_answer_is_not_lost(relay: HttpRelay, diary: Diary, turns: int) -> None:
    turnstile = a_turnstile(relay, pulse_ms=LONG_MS)
    async with working(turnstile):
        task = asyncio.create_task(turnstile.release(), name="release")
        await diary.until(lambda: relay.is_on)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert diary.lines == ["/on", "/off"]


async def test_a_cancellation_comes_through_where_the_relay_cannot_be_locked(
    relay: HttpRelay, guard: NotedGuard, diary: Diary
) -> None:
    relay.answers["/off"] = 500
    turnstile = a_turnstile(relay, guard, LONG_MS)
    async with working(turnstile):
        task = asyncio.create_task(turnstile.release(), name="release")
        await diary.until(lambda: relay.is_on)
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert diary.lines == ["arm", "/on", "/off"]
    assert guard.armed


async def test_a_lane_that_ends_locks_its_turnstile_first(relay: HttpRelay, guard: NotedGuard, diary: Diary) -> None:
    turnstile = a_turnstile(relay, guard, LONG_MS)
    async with working(turnstile):
        task = asyncio.create_task(turnstile.release(), name="release")
        await diary.until(lambda: relay.is_on)
        waiting = asyncio.create_task(turnstile.release(), name="the next guest")
        await asyncio.sleep(0)
    assert diary.lines == ["arm", "/on", "/off", "disarm"]
    await task
    with pytest.raises(DeviceLost, match="no longer claimed"):
        await waiting
    with pytest.raises(DeviceLost, match="does not run"):
        await turnstile.release()
    assert diary.lines == ["arm", "/on", "/off", "disarm"]


@pytest.mark.parametrize(
    ("status", "mend", "after"),
    [
        (401, "user and password", ["disarm"]),
        (403, "user and password", ["disarm"]),
        (404, "the method, the path", ["disarm"]),
        # Nobody knows what it did before it sent the gate elsewhere, or failed.
        (302, "the address that it points to", ["/off", "disarm"]),
        (304, "the address that it points to", ["/off", "disarm"]),
        (500, "see to the relay", ["/off", "disarm"]),
        (503, "see to the relay", ["/off", "disarm"]),
    ],
)
async def test_a_relay_that_says_no_is_called_once(
    relay: HttpRelay, guard: NotedGuard, diary: Diary, status: int, mend: str, after: list[str]
) -> None:
    relay.answers["/on"] = status
    turnstile = a_turnstile(relay, guard)
    async with working(turnstile):
        with pytest.raises(DeviceLost, match=f"{relay.url}/on: answered {status}; .*{mend}"):
            await turnstile.release()
    assert diary.lines == ["arm", "/on", *after]


async def test_a_relay_that_obeys_and_sends_the_gate_to_its_page_is_locked_again(
    relay: HttpRelay, guard: NotedGuard, diary: Diary
) -> None:
    relay.answers |= {"/on": 302, "/off": 302}
    turnstile = a_turnstile(relay, guard)
    async with working(turnstile):
        with pytest.raises(DeviceLost, match=f"may still be open, see to it: {relay.url}/off: answered 302; use the"):
            await turnstile.release()
    assert diary.lines == ["arm", "/on", "/off"]
    assert not relay.is_on
    assert guard.armed


async def test_a_relay_that_does_not_answer_is_called_once_and_locked(
    relay: HttpRelay, guard: NotedGuard, diary: Diary
) -> None:
    relay.held["/on"] = asyncio.Event()
    turnstile = a_turnstile(relay, guard, timeout_s=SOON_S)
    async with working(turnstile):
        with pytest.raises(DeviceLost, match=f"no answer in {SOON_S} s; check the relay's power"):
            await turnstile.release()
    assert diary.lines == ["arm", "/on", "/off", "disarm"]
    assert not relay.is_on


async def test_a_relay_that_cannot_be_locked_may_be_open(relay: HttpRelay, guard: NotedGuard, diary: Diary) -> None:
    relay.held["/on"] = asyncio.Event()
    relay.answers["/off"] = 500
    for timeout_s in (SOON_S, TIMEOUT_S):
        turnstile = a_turnstile(relay, guard, timeout_s=timeout_s)
        async with working(turnstile):
            with pytest.raises(DeviceLost, match=f"may still be open, see to it: {relay.url}/off: answered 500"):
                await turnstile.release()
        assert len(guard.armed) == 1
        assert diary.lines == ["arm", "/on", "/off"]
        # The next time, the relay answers to the first call.
        relay.held["/on"].set()
        diary.lines.clear()
        guard.armed.clear()


async def test_a_relay_that_is_not_there_is_named(guard: NotedGuard, diary: Diary) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    off = HttpCall("GET", f"http://127.0.0.1:{port}/off")
    turnstile = HttpTurnstile(HttpCall("GET", f"http://127.0.0.1:{port}/on"), off, LONG_MS, TIMEOUT_S, guard)
    async with working(turnstile):
        with pytest.raises(DeviceLost, match=f"http://127.0.0.1:{port}/on: no connection; check the relay's power"):
            await turnstile.release()
    assert diary.lines == ["arm", "disarm"]


@pytest.mark.parametrize("answer", [b"\x00\x01\x02 what?\r\n\r\n", b""])
async def test_what_speaks_no_http_is_no_relay(guard: NotedGuard, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        off = HttpCall("GET", f"http://127.0.0.1:{port}/off")
        turnstile = HttpTurnstile(HttpCall("GET", f"http://127.0.0.1:{port}/on"), off, 1, TIMEOUT_S, guard)
        async with working(turnstile):
            with pytest.raises(DeviceLost, match=r"may still be open.*check that this is the relay's address"):
                await turnstile.release()


async def test_an_answer_without_end_does_not_keep_a_guest_waiting() -> None:
    hung_up = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            hung_up.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        turnstile = HttpTurnstile(HttpCall("GET", f"http://127.0.0.1:{port}/on"), None, 1, TIMEOUT_S)
        async with working(turnstile):
            await turnstile.release()
            await hung_up.wait()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_guard_can_lock_it_by_itself(
    relay: HttpRelay, guard: NotedGuard, diary: Diary, method: Literal["GET", "POST"]
) -> None:
    url = relay.url.replace("http://", "http://gate:secret@")
    body = '{"on":false}' if method == "POST" else None
    off = HttpCall(method, f"{url}/off?relay=0", body, "application/json")
    turnstile = HttpTurnstile(HttpCall("GET", f"{url}/on"), off, LONG_MS, TIMEOUT_S, guard)
    async with working(turnstile):
        task = asyncio.create_task(turnstile.release(), name="release")
        await diary.until(lambda: relay.is_on)
        action = guard.action
        assert "secret" not in repr(action)
        await asyncio.to_thread(send, action.host, action.port, action.tls, action.payload.hex())
        assert not relay.is_on
        by_guard = relay.requests[-1]
        task.cancel()
        await asyncio.wait([task])
        assert relay.requests[-1] == by_guard
    assert (by_guard[0], by_guard[1], by_guard[3]) == (method, "/off?relay=0", body or "")


async def test_secrets_in_an_address_are_not_shown(relay: HttpRelay) -> None:
    relay.answers["/on"] = 401
    call = HttpCall("GET", relay.url.replace("http://", "http://gate:secret@") + "/on?key=secret", "secret")
    assert "secret" not in repr(call)
    turnstile = HttpTurnstile(call, None, 1, TIMEOUT_S)
    async with working(turnstile):
        with pytest.raises(DeviceLost, match=f"^{relay.url}/on: answered 401") as caught:
            await turnstile.release()
    assert "secret" not in str(caught.value)


async def test_a_relay_with_a_certificate_that_nobody_vouches_for_is_not_spoken_to(
    diary: Diary, tmp_path: Path
) -> None:
    async with an_http_relay(diary, tls_of_localhost(tmp_path)) as relay:
        turnstile = a_turnstile(relay)
        async with working(turnstile):
            with pytest.raises(DeviceLost, match=r"certificate is not trusted; .*update-ca-certificates"):
                await turnstile.release()
    assert diary.lines == []


async def test_a_relay_with_a_trusted_certificate_is(
    diary: Diary, guard: NotedGuard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with an_http_relay(diary, tls_of_localhost(tmp_path)) as relay:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "localhost.pem"))
        turnstile = a_turnstile(relay, guard, LONG_MS)
        async with working(turnstile):
            task = asyncio.create_task(turnstile.release(), name="release")
            await diary.until(lambda: relay.is_on)
            action = guard.action
            await asyncio.to_thread(send, action.host, action.port, action.tls, action.payload.hex())
            assert not relay.is_on
            task.cancel()
            await asyncio.wait([task])
    assert diary.lines == ["arm", "/on", "/off", "/off", "disarm"]


async def test_without_a_sensor_nobody_is_seen_to_pass(relay: HttpRelay) -> None:
    turnstile = a_turnstile(relay)
    async with working(turnstile):
        await turnstile.release()
        task = asyncio.create_task(turnstile.passed(), name="passed")
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])


async def test_one_that_is_not_claimed_releases_nobody(relay: HttpRelay, diary: Diary) -> None:
    with pytest.raises(DeviceLost, match=f"{relay.url}/on: its lane does not run"):
        await a_turnstile(relay).release()
    assert diary.lines == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("relay/on", "whole address"),
        ("ftp://relay/on", "whole address"),
        ("http:///on", "whole address"),
        ("http://relay:0/on", "whole address"),
        ("http://relay:99999/on", "[Pp]ort"),
        ("http://relay/a b", "blank"),
        ("http://relay/a\r\nHost: other", "blank"),
        ("http://relay/\x7f", "control character"),
    ],
)
def test_what_is_no_address_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        HttpCall("GET", url)


def test_what_is_no_media_type_is_refused() -> None:
    with pytest.raises(ValueError, match="media type"):
        HttpCall("GET", "http://relay/on", "{}", "application/json\r\nX: y")


async def test_an_address_that_only_looks_like_one_is_refused_by_the_lane() -> None:
    call = HttpCall("GET", f"http://{'a' * 70}.é/on")
    async with aclosing(HttpTurnstile(call, None, 1, TIMEOUT_S).signals()) as signals:
        with pytest.raises(DeviceRefused, match="check the address in the settings"):
            await anext(signals)
