"""The gate's web application: the API of design section 8, the live feeds and the pages."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import hdrs, web

from edge.box import Box, ShownCamera
from edge.store.credentials import ApiTokens
from edge.supervise import Health
from edge.web.api import Api, ChangesSink
from edge.web.cameras import Cameras
from edge.web.errors import errors_as_json
from edge.web.guard import COOKIE, Guard, add_headers
from edge.web.live import LiveFeed
from edge.web.metrics import Metrics

__all__ = ["ChangesSink", "make_app", "make_viewer"]

STATIC = Path(__file__).parent / "static"


def make_app(box: Box, tokens: ApiTokens, push: ChangesSink | None) -> web.Application:
    """Build the application. `push` None: this gate takes no pushed changes."""
    guard = Guard(tokens, box.settings.web.host)
    api, live, metrics = Api(box, push, guard.allows), LiveFeed(box), Metrics(box)
    cameras, contract = Cameras(box.cameras, box.healths), Contract()
    language = box.settings.device.language
    app = web.Application(middlewares=[errors_as_json, guard.middleware])
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.extend((live.close, cameras.close))
    app.add_routes(
        [
            web.post("/api/v1/scans", api.scan),
            web.get("/api/v1/scans", api.scans, allow_head=False),
            web.post("/api/v1/scans/{id}/override", api.override),
            web.get("/api/v1/scans/{id}/picture", api.picture, allow_head=False),
            web.get("/api/v1/history", api.history, allow_head=False),
            web.get("/api/v1/status", api.status, allow_head=False),
            web.get("/api/v1/live", live.handle, allow_head=False),
            web.post("/api/v1/shift", api.sign_in),
            web.delete("/api/v1/shift", api.sign_out),
            web.get("/api/v1/controllers", api.controllers, allow_head=False),
            web.post("/api/v1/changes", api.changes),
            web.post("/api/v1/sync/now", api.sync_now),
            web.post("/api/v1/sync/accept", api.sync_accept),
            web.get("/api/v1/sync/parked", api.parked, allow_head=False),
            web.post("/api/v1/sync/parked/retry", api.retry_parked),
            web.post("/api/v1/sync/parked/{id}/retry", api.retry_parked),
            web.post("/api/v1/sync/parked/{id}/drop", api.drop_parked),
            *_camera_routes(cameras, guard, language),
            web.get("/api/v1/openapi.json", contract.handle, allow_head=False),
            web.get("/healthz", api.health),
            web.get("/readyz", api.ready),
            web.get("/metrics", metrics.handle, allow_head=False),
            web.get("/", Page("index.html", language, guard).handle),
            web.static("/static", STATIC),
        ]
    )
    return app


def make_viewer(cameras: Mapping[str, ShownCamera], healths: Mapping[str, Health], language: str) -> web.Application:
    """Build an application that shows cameras and nothing else, to this machine alone; healths are by job."""
    guard, feeds = Guard(None, "localhost"), Cameras(cameras, healths)
    app = web.Application(middlewares=[errors_as_json, guard.middleware])
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(feeds.close)
    app.add_routes([*_camera_routes(feeds, guard, language), web.static("/static", STATIC)])
    return app


def _camera_routes(cameras: Cameras, guard: Guard, language: str) -> list[web.RouteDef]:
    return [
        web.get("/api/v1/cameras", cameras.index, allow_head=False),
        web.get("/api/v1/cameras/{id}/live", cameras.live, allow_head=False),
        web.get("/camera", Page("camera.html", language, guard).handle),
    ]


class Page:
    """One of the pages, in the device's language."""

    def __init__(self, name: str, language: str, guard: Guard) -> None:
        text = (STATIC / name).read_text(encoding="utf-8")
        self._text = text.replace('lang="en"', f'lang="{language}"', 1)
        self._guard = guard

    async def handle(self, request: web.Request) -> web.Response:
        """Show it; a token in the query moves into a cookie, out of sight, for what the page then asks."""
        token = request.query.get("token")
        if token is None or not self._guard.allows(token):
            return web.Response(text=self._text, content_type="text/html")
        rest = [(key, value) for key, value in request.query.items() if key != "token"]
        where = f"{request.path}?{urlencode(rest)}" if rest else request.path
        response = web.Response(status=303, headers={hdrs.LOCATION: where})
        response.set_cookie(COOKIE, token, httponly=True, samesite="Strict", path="/")
        return response


class Contract:
    """The OpenAPI document, built when it is first asked for: a gate at work has better use for the memory."""

    def __init__(self) -> None:
        self._text: str | None = None

    async def handle(self, _request: web.Request) -> web.Response:
        """`GET /api/v1/openapi.json`."""
        if self._text is None:
            self._text = await asyncio.to_thread(_contract_text)
        return web.Response(text=self._text, content_type="application/json")


def _contract_text() -> str:
    from edge.web.openapi import document_text

    return document_text()
