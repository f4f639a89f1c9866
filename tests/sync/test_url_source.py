"""A barcode file on the web: fetched where it has changed, and never taken for one where it is something else."""

import asyncio
import gzip
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from sync.cutting import MOST_EMPTY
from sync.errors import LinkDown
from sync.url_source import UrlSource
from tests.sync.certificates import an_impostor, tls_of_localhost
from tests.sync.rig import News, served

LIST = b"code\nA\n"
MOST = 3_000_000
HOURS_S = 36_000.0
Answer = Callable[[web.Request], web.Response]


@dataclass
class Seller:
    """A web server that answers as it is told, and keeps what it was asked."""

    folder: Path
    news: News = field(default_factory=News)
    url: str = ""
    asked: list[web.Request] = field(default_factory=list)
    answer: Answer = lambda _: web.Response(body=LIST)

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        self.news.poke()
        return self.answer(request)

    def source(self, every_s: float = 0.0, path: str = "/seller.csv", plan: Path | None = None) -> UrlSource:
        return UrlSource(self.url + path, self.folder, plan, every_s)


@pytest.fixture
async def seller(tmp_path: Path) -> AsyncIterator[Seller]:
    made, app = Seller(tmp_path), web.Application()
    app.router.add_get("/{path:.*}", made.handle)
    async with served(app) as made.url:
        yield made


@pytest.fixture
async def source(seller: Seller) -> AsyncIterator[UrlSource]:
    made = seller.source()
    yield made
    await made.close()


def a_file(body: bytes = LIST, **headers: str) -> Answer:
    return lambda _: web.Response(body=body, headers=headers)


async def test_a_file_is_fetched_and_kept(seller: Seller, source: UrlSource) -> None:
    (file,) = (await source.look()).files
    assert (file.name, file.path.read_bytes(), file.path.parent) == ("seller.csv", LIST, seller.folder)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in seller.folder.iterdir()] == [file.path.name]


async def test_what_has_not_changed_is_not_fetched_again(seller: Seller, source: UrlSource) -> None:
    seller.answer = a_file(LIST, **{"ETag": '"1"', "Last-Modified": "Fri, 01 May 2026 18:00:00 GMT"})
    seen = await source.look()
    seller.answer = lambda _: web.Response(status=304)
    assert await source.look() == seen
    asked = seller.asked[-1].headers
    assert (asked["If-None-Match"], asked["If-Modified-Since"]) == ('"1"', "Fri, 01 May 2026 18:00:00 GMT")


async def test_the_same_content_again_is_no_change(seller: Seller, source: UrlSource) -> None:
    seen = await source.look()
    assert await source.look() == seen
    seller.answer = a_file(b"code\nB\n")
    assert await source.look() != seen


async def test_it_is_asked_no_oftener_than_is_due(seller: Seller) -> None:
    source = seller.source(every_s=HOURS_S)
    seen, looked_at = await source.look(), source.looked_at
    assert await source.look() == seen
    assert not await source.changed(seen, 0.01)
    assert (len(seller.asked), source.looked_at) == (1, looked_at)
    await source.close()


async def test_whoever_gives_up_waiting_has_it_asked_at_once(seller: Seller) -> None:
    source = seller.source(every_s=HOURS_S)
    seen = await source.look()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(source.changed(seen, math.inf))
        await asyncio.sleep(0)
        waiting.cancel()
    await source.look()
    assert len(seller.asked) == 2
    await source.close()


async def test_a_change_is_waited_for(seller: Seller) -> None:
    source = seller.source(every_s=0.01)
    seen = await source.look()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(source.changed(seen, math.inf))
        await seller.news.until(lambda: len(seller.asked) >= 3)
        seller.answer = a_file(b"code\nB\n")
        assert await waiting
    await source.close()


async def test_a_file_that_somebody_deleted_here_is_fetched_anew(seller: Seller) -> None:
    source = seller.source(every_s=HOURS_S)
    seller.answer = a_file(ETag='"1"')
    (await source.look()).files[0].path.unlink()
    assert (await source.look()).files[0].path.read_bytes() == LIST
    assert "If-None-Match" not in seller.asked[-1].headers
    await source.close()


async def test_a_plan_lies_on_this_box(seller: Seller, tmp_path: Path) -> None:
    source = seller.source(plan=tmp_path / "plan.toml")
    with pytest.raises(LinkDown, match=r"crm.plan_path: .*plan\.toml: No such file"):
        await source.look()
    (tmp_path / "plan.toml").write_text("")
    seen = await source.look()
    assert seen.plan is not None
    (tmp_path / "plan.toml").write_text("[event]")
    assert await source.changed(seen, math.inf)
    await source.close()


async def test_packed_content_is_unpacked(seller: Seller, source: UrlSource) -> None:
    body = b"code\n" + b"".join(b"CODE-%d\n" % n for n in range(200_000))
    seller.answer = a_file(gzip.compress(body), **{"Content-Encoding": "gzip"})
    assert (await source.look()).files[0].path.read_bytes() == body


async def test_where_it_has_moved_is_followed(seller: Seller) -> None:
    source = seller.source(path="/old.csv")

    def answer(request: web.Request) -> web.Response:
        if request.path == "/old.csv":
            return web.Response(status=307, headers={"Location": "/new?key=secret"})
        return web.Response(body=LIST)

    seller.answer = answer
    assert (await source.look()).files[0].name == "old.csv"
    await source.close()


async def test_no_one_is_led_from_https_to_http(
    seller: Seller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = tls_of_localhost(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "localhost.pem"))
    app, onwards = web.Application(), "/list.csv"

    async def answer(request: web.Request) -> web.Response:
        if request.path == onwards:
            return web.Response(body=LIST)
        return web.Response(status=302, headers={"Location": onwards})

    app.router.add_get("/{path:.*}", answer)
    async with served(app, tls=tls) as url:
        source = UrlSource(f"{url}/seller.csv", tmp_path)
        assert (await source.look()).files[0].path.read_bytes() == LIST
        await source.close()
        source, onwards = UrlSource(f"{url}/seller.csv", tmp_path), seller.url
        with pytest.raises(LinkDown, match="leads from https to http"):
            await source.look()
        await source.close()
    assert seller.asked == []


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async with served(web.Application(), tls=an_impostor(tmp_path)) as url:
        source = UrlSource(f"{url}/seller.csv", tmp_path)
        with pytest.raises(LinkDown, match="its certificate is not trusted"):
            await source.look()
        await source.close()


TROUBLES: dict[str, tuple[Answer, str]] = {
    "not found": (lambda _: web.Response(status=404), "answered 404"),
    "busy": (lambda _: web.Response(status=503, headers={"Retry-After": "7"}), "answered 503"),
    "page": (lambda _: web.Response(text="<html>", content_type="text/html"), "a web page, which is no CSV file"),
    "page in disguise": (a_file(b"\xef\xbb\xbf\n <!doctype html>"), "a web page, which is no CSV file"),
    "in circles": (lambda request: web.Response(status=302, headers={"Location": str(request.url)}), "leads on and on"),
    "unasked packing": (a_file(LIST, **{"Content-Encoding": "br"}), "packed as br, which was not offered"),
    "broken packing": (a_file(b"code\n", **{"Content-Encoding": "gzip"}), "its packing is broken"),
    "cut packing": (a_file(gzip.compress(LIST)[:-9], **{"Content-Encoding": "gzip"}), "cut off before its end"),
    "packing of nothing": (
        a_file(gzip.compress(b"") * (MOST_EMPTY + 1), **{"Content-Encoding": "gzip"}),
        "hold nothing",
    ),
    "bomb": (a_file(gzip.compress(bytes(MOST + 1)), **{"Content-Encoding": "gzip"}), f"longer than {MOST}"),
}


@pytest.mark.parametrize("trouble", list(TROUBLES))
async def test_what_is_no_list_is_said_and_the_one_before_stays(
    seller: Seller, source: UrlSource, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.url_source.MAX_BYTES", MOST)
    seen = await source.look()
    seller.answer, said = TROUBLES[trouble]
    with pytest.raises(LinkDown) as caught:
        await source.look()
    assert said in str(caught.value)
    assert caught.value.retry_after_s == (7 if trouble == "busy" else None)
    assert seen.files[0].path.read_bytes() == LIST
    seller.answer = a_file()
    assert await source.look() == seen


async def test_a_cut_answer_is_no_list(seller: Seller, source: UrlSource) -> None:
    def answer(request: web.Request) -> web.Response:
        response = web.Response(body=LIST, headers={"Content-Length": "100"})
        response.force_close()
        return response

    seller.answer = answer
    with pytest.raises(LinkDown, match="cannot be reached"):
        await source.look()


async def test_nobody_there_is_said_without_passwords(tmp_path: Path) -> None:
    source = UrlSource("http://box:secret@127.0.0.1:9/list.csv?key=secret", tmp_path)
    with pytest.raises(LinkDown, match=r"^crm.url: http://127.0.0.1:9/list\.csv cannot be reached: no connection"):
        await source.look()
    await source.close()


async def test_two_that_look_at_once_have_the_file_fetched_once(seller: Seller, source: UrlSource) -> None:
    """Whoever pulls the list and whoever files scans: the file of one must not be cut short by the other."""
    patient = seller.source(every_s=HOURS_S)
    first, second = await asyncio.gather(patient.look(), patient.look())
    await patient.close()
    assert first == second
    assert len(seller.asked) == 1


async def test_a_packed_file_may_have_several_members(seller: Seller, source: UrlSource) -> None:
    packed = gzip.compress(LIST) + gzip.compress(b"B\n")
    seller.answer = a_file(packed, **{"Content-Encoding": "gzip"})
    (file,) = (await source.look()).files
    assert file.path.read_bytes() == LIST + b"B\n"
