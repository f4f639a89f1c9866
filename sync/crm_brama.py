"""The native connector: the Gate API, version 1, over HTTP (httpx)."""

import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from pydantic import ValidationError

# httpx loads its own command line, and with it click, rich and pygments, wherever they are installed: 5 MiB that no
# gate needs (docs/adr/0006). Told that it is not there, httpx goes on without.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

import httpx

from sync.connector import Feed
from sync.cutting import Encoding
from sync.errors import BadFeed, CursorExpired, EnrolmentRefused, LinkDown, Refused, TokenRefused
from sync.floor import moving, within
from sync.lines import describe
from sync.wire import (
    NDJSON,
    EnrolAnswer,
    EnrolRequest,
    ErrorAnswer,
    ErrorModel,
    FingerprintsAnswer,
    HeartbeatAnswer,
    ScansAnswer,
    WireModel,
)

MAX_ANSWER_BYTES = 4 * 1024 * 1024
ANSWER_TIMEOUT_S = 20.0
"""For each read and write."""
WHOLE_ANSWER_S = 60.0
"""For a small answer from end to end; what is sent has its own time on top."""
SENT_BYTES_PER_S = 4096
"""How fast what we send must go at least: half of a line of 64 kbit/s."""
M = TypeVar("M", bound=WireModel)


class BramaCrm:
    """Speaks to `<url>/gate/v1` with a device token."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        whole_answer_s: float = WHOLE_ANSWER_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`whole_answer_s`: what each small answer may take in all; `monotonic` times the feeds."""
        self._whole_answer_s = whole_answer_s
        self._monotonic = monotonic
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/gate/v1",
            headers=headers,
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=10.0),
            limits=httpx.Limits(max_connections=4),
            trust_env=False,
            verify=trust(url),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def enrol(self, request: EnrolRequest) -> EnrolAnswer:
        """Trade an enrolment code for this device's identity.

        Raises:
            EnrolmentRefused: the code is wrong, used or expired.
            LinkDown: the CRM cannot be reached or answers with something else.
        """
        answer = await self._post("/enrol", request.model_dump(mode="json", exclude_none=True))
        if answer.status in {400, 401, 403, 404, 409, 410}:
            raise EnrolmentRefused(answer.error.message)
        return answer.read(EnrolAnswer)

    @asynccontextmanager
    async def changes(self, since: str | None, wait_s: int) -> AsyncIterator[Feed]:
        """Open the change feed; see `Connector.changes`."""
        params = {"since": since, "wait": str(wait_s)} if since is not None else {}
        async with self._feed("/changes", params, wait_s) as feed:
            yield feed

    @asynccontextmanager
    async def tickets(self, prefix: str) -> AsyncIterator[Feed]:
        """Open one range of the tickets; see `Connector.tickets`."""
        async with self._feed("/tickets", {"prefix": prefix}) as feed:
            yield feed

    async def fingerprints(self, prefix: str) -> FingerprintsAnswer | None:
        """Ask for the sums of a range; see `Connector.fingerprints`."""
        asked = self._client.stream("GET", "/fingerprints", params={"prefix": prefix})
        with translated():
            async with within(self._whole_answer_s, "/fingerprints"), asked as response:
                answer = await _Answer.of(response)
        return None if answer.status == httpx.codes.NOT_FOUND else answer.read(FingerprintsAnswer)

    @asynccontextmanager
    async def _feed(self, path: str, params: dict[str, str], wait_s: int = 0) -> AsyncIterator[Feed]:
        timeout = httpx.Timeout(ANSWER_TIMEOUT_S + wait_s, connect=10.0)
        asked = self._client.stream("GET", path, params=params, timeout=timeout, headers={"Accept-Encoding": "gzip"})
        with translated():
            async with AsyncExitStack() as opened:
                async with within(self._whole_answer_s + wait_s, path):
                    response = await opened.enter_async_context(asked)
                if response.status_code != httpx.codes.OK:
                    async with within(self._whole_answer_s, path):
                        answer = await _Answer.of(response)
                    if answer.status == httpx.codes.GONE:
                        raise CursorExpired(answer.error.message)
                    raise answer.failure()
                if response.headers.get("content-type", "").split(";")[0].strip() != NDJSON:
                    raise BadFeed(_not_the_crm(response))
                encoding = _encoding_of(response)
                yield Feed(moving(response.aiter_raw(), wait_s, path, self._monotonic), encoding)

    async def send_scans(self, device_id: str, scans: Sequence[dict[str, Any]]) -> ScansAnswer:
        """Hand over journal rows; see `Connector.send_scans`."""
        return (await self._post("/scans", {"device_id": device_id, "scans": list(scans)})).read(ScansAnswer)

    async def heartbeat(self, health: dict[str, Any]) -> tuple[HeartbeatAnswer, float]:
        """Tell how this device fares; see `Connector.heartbeat`."""
        started = time.monotonic()
        answer = (await self._post("/heartbeat", health)).read(HeartbeatAnswer)
        return answer, time.monotonic() - started

    async def _post(self, path: str, body: dict[str, Any]) -> "_Answer":
        content = msgspec.json.encode(body)  # a tenth of the time that json takes, for which a lane may have to wait
        asked = self._client.stream("POST", path, content=content, headers={"Content-Type": "application/json"})
        with translated():
            async with within(self._whole_answer_s + len(content) / SENT_BYTES_PER_S, path), asked as response:
                return await _Answer.of(response)


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer read whole, up to a limit."""

    response: httpx.Response
    body: bytes

    @classmethod
    async def of(cls, response: httpx.Response) -> "_Answer":
        """Read the body.

        Raises:
            LinkDown: it is longer than any answer of the Gate API.
        """
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise LinkDown(f"{response.request.url.path}: the answer is longer than {MAX_ANSWER_BYTES} bytes")
        return cls(response, bytes(body))

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def error(self) -> ErrorModel:
        """The error in the answer, or one made of its status where the body says nothing."""
        try:
            return ErrorAnswer.model_validate_json(self.body).error
        except ValidationError:
            return ErrorModel(code="http", message=f"the CRM answered {self.status}")

    def read(self, model: type[M]) -> M:
        """Read an answer of one kind.

        Raises:
            LinkDown, TokenRefused: the answer is an error, or something else altogether.
        """
        if self.status != httpx.codes.OK:
            raise self.failure()
        try:
            return model.model_validate_json(self.body)
        except ValidationError as exc:
            error = exc.errors(include_url=False, include_input=False)[0]
            if error["type"] == "json_invalid":
                raise LinkDown(_not_the_crm(self.response)) from exc
            path = self.response.request.url.path
            raise LinkDown(f"{path}: {describe(error)}; the CRM breaks the Gate API") from exc

    def failure(self) -> Exception:
        """Name an answer that is not 200."""
        error = self.error
        if self.status in {401, 403}:
            # Only the CRM's own word revokes: a proxy or a captive portal answers 401 and 403, too.
            revoked = error.code == "token_revoked"
            return TokenRefused(f"{error.message}; enrol this box again: brama enrol URL CODE", revoked=revoked)
        if self.response.is_redirect:
            return LinkDown(_not_the_crm(self.response))
        said = f"{self.response.request.url.path}: {self.status}: {error.message}"
        definite = 400 <= self.status < 500 and self.status not in {404, 408, 425, 429}
        failure = Refused(said, self.status) if definite else LinkDown(said)
        failure.retry_after_s = retry_after_s(self.response)
        return failure


def _encoding_of(response: httpx.Response) -> Encoding:
    """Return how a feed is packed, of those ways that were offered."""
    match response.headers.get("content-encoding", "identity").strip().lower():
        case "gzip" | "x-gzip":
            return "gzip"
        case "identity" | "":
            return "identity"
        case other:
            raise BadFeed(f"{response.request.url.path}: packed as {other}, which was not offered; use gzip, or none")


def retry_after_s(response: httpx.Response) -> float | None:
    """Return what Retry-After asks for, in seconds (RFC 9110, section 10.2.3; the date form is left to backoff)."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _not_the_crm(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "no content type").split(";")[0]
    return (
        f"{response.request.url}: answered {response.status_code} {kind}, which is not the Gate API;"
        " a captive portal (open a browser and log in), or a wrong crm.url"
    )


@contextmanager
def translated(who: str = "the CRM") -> Iterator[None]:
    """Turn httpx's errors into ours; `who` cannot be reached then."""
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as exc:
        raise LinkDown(f"crm.url: {exc}; write it as https://crm.example") from exc
    except (httpx.HTTPError, httpx.StreamError) as exc:
        raise LinkDown(f"{who} cannot be reached: {_words(exc)}") from exc


def trust(url: str) -> ssl.SSLContext:
    """Return what certificates are checked against: the system's authorities, so that an organiser's own can be added.

    They take memory and time to load, so where no TLS is to come there are none.
    """
    if not url.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context()


def _words(exc: Exception) -> str:
    """Say what an httpx error means; some of them have no text."""
    if "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return (
            f"its certificate is not trusted ({exc}); somebody stands between, this box's clock is wrong, or the CRM's"
            " authority is to be added with update-ca-certificates"
        )
    match exc:
        case httpx.ConnectTimeout() | httpx.ConnectError():
            return f"no connection ({exc or 'timed out'}); check the network and crm.url"
        case httpx.TimeoutException():
            return "no answer in time"
        case _:
            return f"{type(exc).__name__}: {exc}"
