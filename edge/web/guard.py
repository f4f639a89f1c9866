"""Who may talk to the gate.

Loopback is open, so it is guarded against web pages that a browser on this machine may show: a page's Origin must be
the gate itself, and the Host a name that only this machine has (DNS rebinding). Anyone else shows a token.
"""

import ipaddress
import logging
import re
import socket
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from edge.store.credentials import ApiTokens, BadCredentials
from edge.web.errors import ApiError, Handler

log = logging.getLogger(__name__)

COOKIE = "brama_token"
"""Where a phone's browser keeps the token with which it opened the page."""
CHANGES_PATH = "/api/v1/changes"
"""Where lines are sent, packed or not; the other calls take JSON as it is."""
OPEN_PATHS = frozenset({"/healthz"})
_TOKEN_IN_QUERY = re.compile(r"/|/camera|/api/v1/live|/api/v1/cameras/[^/]+/live")
"""What a browser opens by its address alone."""
JSON_TYPES = frozenset({"application/json", "application/x-ndjson"})
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "brama",
}
# A proxy on this machine speaks for others: what it passes on comes from the network.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")
_PORTS = {"http": 80, "https": 443}


def is_loopback(peer: str | None) -> bool:
    """Tell whether a peer's address is this machine's own loopback."""
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def host_allowed(host: str, names: frozenset[str]) -> bool:
    """Tell whether a Host header is a literal address or one of `names`; no web site can bring either about."""
    name = _host_and_port(host, 80)[0]
    if name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def origin_allowed(origin: str, host: str) -> bool:
    """Tell whether a page of this Origin was served under this Host."""
    try:
        parts = urlsplit(origin)
        port = _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return False
    theirs = _host_and_port(parts.netloc, port)
    return bool(theirs[0]) and theirs == _host_and_port(host, port)


def own_names(configured: str) -> frozenset[str]:
    """Return the names by which this machine is called, in lower case."""
    machine = socket.gethostname().lower()
    return frozenset({"localhost", configured.lower(), machine, f"{machine}.local"})


def _host_and_port(netloc: str, default: int) -> tuple[str, int]:
    """Split a host and a port; ("", 0) where it is neither."""
    try:
        parts = urlsplit(f"//{netloc}")
        if parts.netloc != netloc or "@" in netloc:
            return "", 0
        return (parts.hostname or "").rstrip("."), parts.port or default
    except ValueError:
        return "", 0


class Guard:
    """Decides on each request before anything reads it. `tokens` None: nobody has one, so loopback alone is let in."""

    def __init__(self, tokens: ApiTokens | None, configured_host: str) -> None:
        self._tokens = tokens
        self._names = own_names(configured_host)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through, or refuse it with what would mend it."""
        self.check(request)
        return await handler(request)

    def check(self, request: web.Request) -> None:
        """Judge peer, Origin, Host, content type and packing.

        Raises:
            ApiError: 401, 403 or 415.
        """
        if request.path in OPEN_PATHS:
            return
        host = request.headers.get(hdrs.HOST, "")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and not origin_allowed(origin, host):
            raise ApiError(403, "wrong_origin", "origin: a page of another site may not talk to the gate", "origin")
        if not self._trusted(request):
            if not is_loopback(request.remote) or any(name in request.headers for name in _FORWARDED):
                raise ApiError(
                    401,
                    "token_required",
                    "authorization: a token is needed from the network: make one with brama token, and send it as"
                    " Authorization: Bearer TOKEN",
                    "authorization",
                    {hdrs.WWW_AUTHENTICATE: 'Bearer realm="brama"'},
                )
            if hdrs.HOST in request.headers and not host_allowed(host, self._names):
                raise ApiError(
                    403, "wrong_host", "host: not a name of this gate; use its address, or localhost", "host"
                )
        _check_body(request)

    def _trusted(self, request: web.Request) -> bool:
        return any(self.allows(token) for token in _tokens_of(request))

    def allows(self, token: str) -> bool:
        """Tell whether a token was made here; whatever was sent as one."""
        if self._tokens is None or not token or not token.isascii() or len(token) > 200:
            return False
        try:
            return self._tokens.allows(token)
        except BadCredentials:
            log.exception("tokens cannot be checked")
            return False


def _tokens_of(request: web.Request) -> list[str]:
    """Return what may be a token: the header, the page's cookie, and where a browser can send no header, the query."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    found = [token.strip()] if scheme.lower() == "bearer" else []
    if COOKIE in request.cookies:
        found.append(request.cookies[COOKIE])
    if "token" in request.query and _TOKEN_IN_QUERY.fullmatch(request.path):
        found.append(request.query["token"])
    return found


def _check_body(request: web.Request) -> None:
    """Judge what a body says of itself before it is read."""
    if request.method != hdrs.METH_POST or not request.body_exists or request.match_info.http_exception is not None:
        return  # for no such call at all there is a better answer
    _check_type(request)
    _check_packing(request)


def _check_packing(request: web.Request) -> None:
    """Refuse a packed body wherever it is not unpacked, which a call does for itself."""
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "").strip()
    if request.path == CHANGES_PATH or encoding.lower() in {"", "identity"}:
        return
    raise ApiError(
        415,
        "wrong_encoding",
        f"content-encoding: {encoding[:100]} is not read here; send the body as it is",
        "content-encoding",
        {hdrs.ACCEPT_ENCODING: "identity"},  # RFC 9110, section 15.5.16
    )


def _check_type(request: web.Request) -> None:
    """Refuse bodies that a foreign page's form could send; a client that names no type is no page."""
    if hdrs.CONTENT_TYPE not in request.headers:
        return
    if request.content_type not in JSON_TYPES:
        wanted = "application/x-ndjson" if request.path == CHANGES_PATH else "application/json"
        raise ApiError(
            415,
            "wrong_type",
            f"content-type: {request.content_type[:100]} is not read here; use {wanted}",
            "content-type",
        )


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Send the security headers with every answer."""
    response.headers.update(HEADERS)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-cache")
