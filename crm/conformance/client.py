"""A plain HTTP client: follows nothing, unpacks nothing by itself, and keeps note of every error answered."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from crm.conformance.errors import Broken, NoAnswer
from sync.lines import describe
from sync.wire import ErrorAnswer, WireModel

ANSWER_TIMEOUT_S = 20.0
"""How long the gate waits for a byte."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""The longest answer, the feed aside, that a gate reads."""
CALLS = frozenset({"/enrol", "/changes", "/scans", "/heartbeat", "/fingerprints", "/tickets"})
M = TypeVar("M", bound=WireModel)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer read whole."""

    call: str
    status: int
    headers: httpx.Headers
    body: bytes

    def want_ok(self) -> None:
        """Check that this is a success.

        Raises:
            Broken: any other status than 200.
        """
        if self.status != httpx.codes.OK:
            raise Broken(f"{self.call}: {self.status} {self.start()}", "answer 200; gates take no other status")

    def want_refusal(self, wanted: frozenset[int], mend: str) -> None:
        """Check that this is one of the wanted errors.

        Raises:
            Broken: any other status.
        """
        if self.status not in wanted:
            raise Broken(f"{self.call}: {self.status} {self.start()}", mend)

    def read(self, model: type[M]) -> M:
        """Read a success of one kind, strictly: a number in quotes is no number.

        Raises:
            Broken: not 200, or the body is not that kind.
        """
        self.want_ok()
        try:
            return model.model_validate_json(self.body, strict=True)
        except ValidationError as exc:
            error = exc.errors(include_url=False, include_input=False)[0]
            mend = f"answer the JSON object that docs/gate-api.md shows for {self.call.partition(' ')[2]}"
            raise Broken(f"{self.call}: {_words(error['type'], describe(error))}", mend) from exc

    def error_code(self) -> str | None:
        """Return the code of an error in the contract's form."""
        try:
            return ErrorAnswer.model_validate_json(self.body, strict=True).error.code
        except ValidationError:
            return None

    def start(self) -> str:
        """Return the start of the body, for people."""
        return self.body[:120].decode("utf-8", "replace")


def _words(kind: str, described: str) -> str:
    return "the body is not JSON" if kind == "json_invalid" else described


@dataclass(frozen=True, slots=True)
class ErrorSeen:
    """An answer that was no success: which call, its status, and what is wrong with its form, if anything."""

    call: str
    status: int
    problem: str | None

    @property
    def of_the_api(self) -> bool:
        """Tell whether the path is one of the contract's."""
        return self.call.partition(" ")[2] in CALLS


@dataclass(frozen=True, slots=True)
class Opened:
    """A streamed answer as it comes, packed as it was sent."""

    status: int
    headers: httpx.Headers
    chunks: AsyncIterator[bytes]


@dataclass(slots=True)
class Client:
    """Speaks to `<url>/gate/v1`; `errors` are all answers so far that were no success."""

    url: str
    errors: list[ErrorSeen] = field(default_factory=list)
    _http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"{self.url.rstrip('/')}/gate/v1",
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=10.0),
            follow_redirects=False,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        authorization: str | None = None,
        params: dict[str, str] | None = None,
        content: bytes | None = None,
        whole: bool = True,
    ) -> Answer:
        """Ask, and read the answer whole, or its start only; `authorization` is the header as it goes out.

        Raises:
            NoAnswer: none came, or not whole.
            Broken: it is longer than a gate reads.
        """
        headers = {"Content-Type": "application/json"} if content is not None else {}
        if authorization is not None:
            headers["Authorization"] = authorization
        call = f"{method} {path}"
        with _translated(call):
            request = self._http.stream(method, path, params=params, content=content, headers=headers)
            async with request as response:
                body = await (_whole(response, call) if whole else _start(response))
        answer = Answer(call, response.status_code, response.headers, body)
        self._note(answer)
        return answer

    async def post(self, path: str, token: str | None, body: dict[str, Any]) -> Answer:
        """Post a JSON object, with a device's token; see `call`."""
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return await self.call("POST", path, authorization=bearer(token), content=content)

    @asynccontextmanager
    async def stream(
        self, path: str, token: str, params: dict[str, str], *, packed: bool, wait_s: float = 0
    ) -> AsyncIterator[Opened]:
        """Open a streamed answer; leaving early closes the connection in its middle.

        Raises:
            NoAnswer: none came, or it broke off.
        """
        headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip" if packed else "identity"}
        timeout = httpx.Timeout(ANSWER_TIMEOUT_S + wait_s, connect=10.0)
        call = f"GET {path}"
        with _translated(call):
            async with self._http.stream("GET", path, params=params, headers=headers, timeout=timeout) as response:
                if response.status_code != httpx.codes.OK:
                    self._note(Answer(call, response.status_code, response.headers, await _whole(response, call)))
                # Closed by hand: a reader that leaves in the middle would leave it to the collector.
                async with aclosing(_raw(response)) as chunks:
                    yield Opened(response.status_code, response.headers, chunks)

    def _note(self, answer: Answer) -> None:
        if 200 <= answer.status < 300:
            return
        problem = None
        if answer.error_code() is None:
            problem = f"{answer.call}: {answer.status} with {answer.start()!r}"
        self.errors.append(ErrorSeen(answer.call, answer.status, problem))


def bearer(token: str | None) -> str | None:
    """Write the header that carries a token."""
    return None if token is None else f"Bearer {token}"


async def _raw(response: httpx.Response) -> AsyncGenerator[bytes]:
    if not response.is_closed:
        async for chunk in response.aiter_raw():
            yield chunk


async def _whole(response: httpx.Response, call: str) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise Broken(f"{call}: more than {MAX_ANSWER_BYTES} bytes", "keep answers, the feed aside, below 4 MiB")
    return bytes(body)


async def _start(response: httpx.Response) -> bytes:
    async for chunk in response.aiter_bytes():
        if chunk:
            return chunk
    return b""


@contextmanager
def _translated(call: str) -> Iterator[None]:
    """Turn httpx's errors into ours."""
    started = time.monotonic()
    try:
        yield
    except httpx.TimeoutException as exc:
        took = time.monotonic() - started
        raise NoAnswer(f"{call}: nothing came in {took:.0f} s", "answer within 20 s, plus `wait` on the feed") from exc
    except (httpx.HTTPError, httpx.StreamError) as exc:
        mend = "answer every request whole, an error too; the CRM's log may say more"
        raise NoAnswer(f"{call}: {type(exc).__name__}: {exc or 'no more is known'}", mend) from exc
