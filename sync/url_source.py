"""A barcode file on the web: asked for every so often, and fetched only where it has changed.

Source: RFC 9110, sections 8.8 (validators) and 13 (conditional requests), 15.4 (redirections).
"""

import asyncio
import hashlib
import math
import os
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

import httpx

from config.fields import shown_url
from sync.crm_brama import ANSWER_TIMEOUT_S, retry_after_s, translated
from sync.cutting import Unpacker
from sync.errors import BadFeed, LinkDown
from sync.file_source import Seen, SeenFile, seen_file
from sync.floor import moving

EVERY_S = 60.0
MAX_BYTES = 256 * 1024 * 1024
"""The longest file that is fetched, unpacked."""
MOST_REDIRECTS = 5
PART = 1 << 20
FILE_NAME = "downloaded.csv"


class UrlSource:
    """One file behind an address, kept in a folder; an optional plan lies on this box."""

    def __init__(self, url: str, folder: Path, plan_path: Path | None = None, every_s: float = EVERY_S) -> None:
        self._url = url
        self._path = folder / FILE_NAME
        self._plan_path = plan_path
        self._every_s = every_s
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=10.0),
            trust_env=False,
            verify=ssl.create_default_context(),  # an address of http: may lead to one of https:
        )
        self._due_at = -math.inf
        self._validators: dict[str, str] = {}
        self._digest = b""
        self._file: SeenFile | None = None
        self._one_at_a_time = asyncio.Lock()
        self.looked_at = -math.inf

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def look(self) -> Seen:
        """Return the file as it was last fetched, asking first where that is due; see `Source.look`."""
        loop = asyncio.get_running_loop()
        async with self._one_at_a_time:  # two that fetch would write into each other's file
            if self._file is not None and await asyncio.to_thread(_now, self._file) != self._file:
                self._file, self._validators = None, {}  # somebody has tidied up
            if self._file is None or loop.time() >= self._due_at:
                await self._ask()
                self.looked_at, self._due_at = loop.time(), loop.time() + self._every_s
            assert self._file is not None, "asked for with no validators, a file comes or it fails"  # noqa: S101
            return Seen((self._file,), await self._plan())

    async def changed(self, seen: Seen | None, wait_s: float) -> bool:
        """Ask as often as it is due until the file is another; see `Source.changed`."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + wait_s
        try:
            while await self.look() == seen:
                left_s = ends_at - loop.time()
                if left_s <= 0:
                    return False
                await asyncio.sleep(min(left_s, self._due_at - loop.time()))
        except asyncio.CancelledError:
            self._due_at = -math.inf  # somebody wants to know now
            raise
        return True

    async def _plan(self) -> SeenFile | None:
        if self._plan_path is None:
            return None
        try:
            return await asyncio.to_thread(seen_file, self._plan_path)
        except OSError as exc:
            raise LinkDown(f"crm.plan_path: {self._plan_path}: {exc.strerror}") from exc

    async def _ask(self) -> None:
        with translated(f"crm.url: {self._shown}"):
            async with self._answer() as response:
                if response.status_code == httpx.codes.NOT_MODIFIED and self._file is not None:
                    return
                if response.status_code != httpx.codes.OK:
                    failure = LinkDown(f"crm.url: {self._shown}: answered {response.status_code}")
                    failure.retry_after_s = retry_after_s(response)
                    raise failure
                if "html" in response.headers.get("content-type", ""):
                    raise LinkDown(_no_file(self._shown))
                await self._fetch(response)
                names = {"If-None-Match": "etag", "If-Modified-Since": "last-modified"}
                self._validators = {
                    asked: response.headers[name] for asked, name in names.items() if name in response.headers
                }

    @asynccontextmanager
    async def _answer(self) -> AsyncIterator[httpx.Response]:
        """Ask, and follow to where the file has moved, but never from https to http."""
        request = self._client.build_request("GET", self._url, headers={"Accept-Encoding": "gzip", **self._validators})
        for _ in range(MOST_REDIRECTS + 1):
            response = await self._client.send(request, stream=True)
            try:
                if response.next_request is None:
                    yield response
                    return
                if request.url.scheme == "https" and response.next_request.url.scheme != "https":
                    raise LinkDown(
                        f"crm.url: {self._shown}: leads from https to http; a captive portal, or name its end"
                    )
                request = response.next_request
            finally:
                await response.aclose()
        raise LinkDown(f"crm.url: {self._shown}: leads on and on; name its end")

    async def _fetch(self, response: httpx.Response) -> None:
        part = self._path.with_name(f"{FILE_NAME}.part")
        download = await asyncio.to_thread(_Download, part, self._shown, packed=_is_packed(response, self._shown))
        try:
            held = bytearray()
            async for chunk in moving(response.aiter_raw(), 0.0, f"crm.url: {self._shown}"):
                held += chunk
                if len(held) >= PART:
                    await asyncio.to_thread(download.feed, bytes(held))
                    held.clear()
            digest = await asyncio.to_thread(download.end, bytes(held))
            if digest != self._digest or self._file is None:
                await asyncio.to_thread(part.replace, self._path)
                self._file = await asyncio.to_thread(seen_file, self._path, self._name)
                self._digest = digest
        except OSError as exc:
            raise LinkDown(f"crm.url: the file cannot be kept in {part.parent}: {exc.strerror}") from exc
        finally:
            download.close()

    @property
    def _shown(self) -> str:
        return shown_url(self._url)

    @property
    def _name(self) -> str:
        return PurePosixPath(self._shown).name or "list.csv"


class _Download:
    """A file that is being fetched: unpacked, measured and digested as it comes. Blocking."""

    def __init__(self, path: Path, shown: str, *, packed: bool) -> None:
        path.unlink(missing_ok=True)
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._shown = shown
        self._unpacker = Unpacker(PART) if packed else None
        self._digest = hashlib.blake2b(digest_size=16)
        self._size = 0

    def close(self) -> None:
        self._file.close()

    def feed(self, chunk: bytes) -> None:
        """Take what came.

        Raises:
            LinkDown: it is too long, no list, or its packing is broken.
        """
        if self._unpacker is None:
            self._keep(chunk)
            return
        try:
            for part in self._unpacker.unpack(chunk):
                self._keep(part)
        except (zlib.error, BadFeed) as exc:
            raise LinkDown(f"crm.url: {self._shown}: its packing is broken ({exc})") from exc

    def end(self, chunk: bytes) -> bytes:
        """Take the last of it; return its digest."""
        self.feed(chunk)
        if self._unpacker is not None and not self._unpacker.whole:
            raise LinkDown(f"crm.url: {self._shown}: cut off before its end")
        self._file.close()
        return self._digest.digest()

    def _keep(self, part: bytes) -> None:
        if self._size == 0 and part.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise LinkDown(_no_file(self._shown))
        self._size += len(part)
        if self._size > MAX_BYTES:
            raise LinkDown(f"crm.url: {self._shown}: longer than {MAX_BYTES} bytes; this is no list of barcodes")
        self._file.write(part)
        self._digest.update(part)


def _now(file: SeenFile) -> SeenFile | None:
    try:
        return seen_file(file.path, file.name)
    except OSError:
        return None


def _is_packed(response: httpx.Response, shown: str) -> bool:
    match response.headers.get("content-encoding", "identity").strip().lower():
        case "gzip" | "x-gzip":
            return True
        case "identity" | "":
            return False
        case other:
            raise LinkDown(f"crm.url: {shown}: packed as {other}, which was not offered; use gzip, or none")


def _no_file(shown: str) -> str:
    return (
        f"crm.url: {shown}: answered with a web page, which is no CSV file; a captive portal (open a browser and log"
        " in), or the address of a page and not of the file"
    )
