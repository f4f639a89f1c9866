"""The organiser's page and reports.

There is no organiser login yet, so they answer this machine only: the peer must be loopback, the request must not
have come through a proxy, and the Host must name this machine (or a web page elsewhere could read them by DNS
rebinding). The Gate API beside them is open to the network and has its own tokens.
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web
from yarl import URL

from crm import reports
from crm.answers import STARTED
from crm.database import Database
from crm.errors import Denied

_STATIC_PATH = Path(__file__).with_name("static")
_FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js"}
_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP")
_SAFE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def add_pages(app: web.Application, db: Database) -> None:
    """Add the page at `/`, `/api/report` and `/reports/scans.csv`."""
    pages = Pages(db)
    for path in _FILES:
        app.router.add_get(path, pages.file)
    app.router.add_get("/api/report", pages.report)
    app.router.add_get("/reports/scans.csv", pages.scans)


def is_local(remote: str | None, host: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a request was made on this machine, for this machine."""
    if any(name in headers for name in _PROXY_HEADERS):
        return False
    return _is_loopback(remote or "") and (host == "localhost" or _is_loopback(host))


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _check_local(request: web.Request) -> None:
    try:
        host = URL(f"http://{request.host}").host or ""
    except ValueError:
        host = ""
    if not is_local(request.remote, host, request.headers):
        message = "these pages open on the central's own machine only: use http://127.0.0.1, or an SSH tunnel"
        raise Denied(403, "local_only", message)


class Pages:
    """The handlers."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def file(self, request: web.Request) -> web.FileResponse:
        """`GET /` and what it needs."""
        _check_local(request)
        return web.FileResponse(_STATIC_PATH / _FILES[request.path], headers=_SAFE_HEADERS)

    async def report(self, request: web.Request) -> web.Response:
        """`GET /api/report?event=`: what the page shows, as JSON."""
        _check_local(request)
        found = await reports.figures(self._db, request.query.get("event") or None)
        return web.json_response(found, headers=_SAFE_HEADERS)

    async def scans(self, request: web.Request) -> web.StreamResponse:
        """`GET /reports/scans.csv?event=`: all scans, streamed."""
        _check_local(request)
        response = web.StreamResponse(
            headers={
                **_SAFE_HEADERS,
                "Content-Type": "text/csv; charset=utf-8; header=present",
                "Content-Disposition": 'attachment; filename="scans.csv"',
            }
        )
        async for part in reports.scans_csv(self._db, request.query.get("event") or None):
            if not response.prepared:
                await response.prepare(request)
                request[STARTED] = True
            await response.write(part.encode())
        await response.write_eof()
        return response
