"""Turnstiles and door locks behind a relay that is switched by HTTP requests.

Source: RFC 9110 (HTTP semantics), RFC 7617 (Basic authentication). The relay's own manual says which requests.
"""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

import httpx

from drivers.guarding import NetworkAction, NetworkGuard
from drivers.network_pulse import NetworkPulse, NotSwitched, to_the_end
from drivers.protocols import DeviceLost, DeviceRefused, Signals


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One request to the relay. A user and password in `url` are sent by Basic authentication, and shown nowhere.

    Raises:
        ValueError: `url` is no whole http or https address, or `content_type` cannot stand in a header.
    """

    method: Literal["GET", "POST", "PUT"]
    url: str = field(repr=False)
    body: str | None = field(default=None, repr=False)
    content_type: str | None = None

    def __post_init__(self) -> None:
        if any(ord(each) <= 0x20 or ord(each) == 0x7F for each in self.url):
            raise ValueError("url: has a blank or a control character in it; write it as %20 and the like")
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
            raise ValueError("url: not a whole address such as http://192.168.1.5/relay/0?turn=on")
        if self.content_type is not None and not (self.content_type.isascii() and self.content_type.isprintable()):
            raise ValueError("content_type: not a media type such as application/json")

    @property
    def shown(self) -> str:
        """The address without what may be secret in it: user, password, query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def request(self, client: httpx.AsyncClient) -> httpx.Request:
        """Return what is sent.

        Raises:
            DeviceRefused: there can be no such address.
        """
        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL as exc:
            raise DeviceRefused(f"{self.shown}: {exc}; check the address in the settings") from exc
        headers = {"User-Agent": "Brama", "Accept-Encoding": "identity", "Connection": "close"}
        if url.userinfo:
            headers["Authorization"] = "Basic " + b64encode(f"{url.username}:{url.password}".encode()).decode()
        if self.content_type and self.body is not None:
            headers["Content-Type"] = self.content_type
        return client.build_request(self.method, url.copy_with(userinfo=b""), content=self.body, headers=headers)


class HttpTurnstile:
    """Calls `on` for each guest and, `pulse_ms` later, `off`; without `off`, the relay ends its pulse by itself.

    `timeout_s` bounds the connection and then the answer. There are no inputs: it cannot tell whether a guest passed.
    """

    def __init__(
        self,
        on: HttpCall,
        off: HttpCall | None,
        pulse_ms: int,
        timeout_s: float,
        guard: NetworkGuard | None = None,
    ) -> None:
        self._on = on
        self._off = off
        self._pulse_ms = pulse_ms
        self._timeout_s = timeout_s
        self._guard = guard
        self._pulse: NetworkPulse | None = None

    @property
    def passage_timeout_s(self) -> float | None:
        """None: there is no sensor."""
        return None

    async def signals(self) -> AsyncGenerator[Signals]:
        """Yield once, since there are no inputs, and then wait for ever; off whenever this ends.

        Raises:
            DeviceRefused: an address cannot be one.
        """
        if self._guard and self._off:
            await self._guard.ready()
        # Each call has a connection of its own: a kept one that the relay has closed meanwhile would cost a guest the
        # pulse, since nothing is sent twice.
        async with httpx.AsyncClient(
            verify=self._trust(),
            trust_env=False,
            timeout=self._timeout_s,
            limits=httpx.Limits(max_keepalive_connections=0),
        ) as client:
            pulse = self._pulse = self._pulse_through(client)
            try:
                yield Signals()
                await asyncio.Event().wait()
            finally:
                self._pulse = None
                await to_the_end(pulse.end())

    async def release(self) -> None:
        """Call `on` once, and `off` after the pulse, even if cancelled.

        Raises:
            DeviceLost: the relay did not answer or did not do it, or `signals` does not run.
        """
        if self._pulse is None:
            raise DeviceLost(f"{self._on.shown}: its lane does not run now")
        await self._pulse.make()

    async def passed(self) -> None:
        """Wait for ever: there is no sensor."""
        await asyncio.Event().wait()

    def _trust(self) -> ssl.SSLContext:
        """Return what certificates are checked against: the system's, which take long to load, if any is to come."""
        if any(call and call.url.startswith("https:") for call in (self._on, self._off)):
            return ssl.create_default_context()
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def _pulse_through(self, client: httpx.AsyncClient) -> NetworkPulse:
        key = f"{self._on.shown} {id(self):x}"
        on = partial(self._send, client, self._on.request(client), self._on.shown)
        if self._off is None:
            return NetworkPulse(key, on)
        request = self._off.request(client)
        off = partial(self._send, client, request, self._off.shown)
        return NetworkPulse(key, on, off, self._pulse_ms, 2 * self._timeout_s, as_action(request), self._guard)

    async def _send(self, client: httpx.AsyncClient, request: httpx.Request, shown: str) -> None:
        """Send a request once.

        Raises:
            DeviceLost: it may have been heard, or not.
            NotSwitched: it was not heard, or the relay says that it did not obey (4xx).
        """
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                response = await client.send(request, stream=True, auth=None, follow_redirects=False)
                # What the relay has to say beyond its status is not read: it might never end.
                await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            raise NotSwitched(f"{shown}: {_why_not_reached(exc)}") from exc
        except (httpx.TimeoutException, TimeoutError) as exc:
            mend = "check the relay's power and network"
            raise DeviceLost(f"{shown}: no answer in {self._timeout_s:g} s; {mend}") from exc
        except httpx.HTTPError as exc:
            mend = "check that this is the relay's address"
            raise DeviceLost(f"{shown}: {str(exc) or type(exc).__name__}; {mend}") from exc
        if response.is_success:
            return
        # Many a relay obeys and then sends the caller on to its page, or fails after it has obeyed.
        status = response.status_code
        kind = NotSwitched if 400 <= status < 500 else DeviceLost
        raise kind(f"{shown}: answered {status}; {_mend(status)}")


def as_action(request: httpx.Request) -> NetworkAction:
    """Return a request as the bytes that a connection of its own takes."""
    url = request.url
    tls = url.scheme == "https"
    lines = [request.method.encode() + b" " + url.raw_path + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in request.headers.raw]
    payload = b"\r\n".join([*lines, b"", request.read()])
    return NetworkAction(url.raw_host.decode(), url.port or (443 if tls else 80), tls, payload)


def _why_not_reached(exc: httpx.TransportError) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return "its certificate is not trusted; add its authority's with update-ca-certificates, or use its real name"
    return "no connection; check the relay's power, network and address"


def _mend(status: int) -> str:
    if status in {401, 403}:
        return "check the user and password in its address"
    if status < 400:
        return "use the address that it points to"
    if status >= 500:
        return "see to the relay, or restart it"
    return "check the method, the path and the body in the settings"
