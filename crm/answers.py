"""What the central's HTTP pages share: bounded bodies, errors with a name, instants and numbers out of queries."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

from aiohttp import web

from crm.dialect import is_away
from crm.errors import BadInput, Denied, NotFound

_log = logging.getLogger(__name__)
STARTED = web.RequestKey("started", bool)
"""Set in a request once its streamed answer has begun."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as `{"error":{"code","message"}}`; a defect is logged with its trace and says nothing."""
    try:
        return await handler(request)
    except ConnectionResetError:
        # The client went away: there is nobody to tell, and aiohttp drops what is written to nobody.
        return web.Response(status=400)
    except Denied as exc:
        return _error(exc.status, exc.code, exc.message)
    except NotFound as exc:
        return _error(404, "not_found", str(exc))
    except BadInput as exc:
        return _error(400, "bad_input", str(exc))
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        return _error(exc.status, (exc.reason or "error").lower().replace(" ", "_"), exc.text or exc.reason)
    except Exception as exc:
        away = is_away(exc)
        if away:
            _log.warning("%s %s: the database does not answer: %s", request.method, request.path, exc)
        else:
            _log.exception("%s %s failed", request.method, request.path)
        if STARTED in request:
            # A second answer cannot follow half of one: aiohttp cuts the connection.
            raise
        if away:
            return _error(503, "database_away", "the CRM's database does not answer; try again later")
        return _error(500, "internal", "the CRM could not do this; try again, and look at its log")


def _error(status: int, code: str, message: str | None) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)


async def read_object(request: web.Request, limit: int) -> dict[str, Any]:
    """Read a JSON object of at most `limit` bytes, unpacked.

    Raises:
        BadInput: not a JSON object.
        Denied: 413, too long.
    """
    body = bytearray()
    async for chunk in request.content.iter_chunked(65_536):
        body += chunk
        if len(body) > limit:
            raise Denied(413, "body_too_large", f"body: at most {limit} bytes; send less at a time")
    try:
        found = json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise BadInput("body", "not JSON in UTF-8") from exc
    if not isinstance(found, dict):
        raise BadInput("body", "must be a JSON object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def number(query: Mapping[str, str], name: str, default: float, most: float) -> float:
    """Read a number of seconds that is not negative, cut to `most`.

    Raises:
        BadInput: not such a number.
    """
    text = query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError as exc:
        raise BadInput(name, "a number of seconds, such as 30") from exc
    if not value >= 0:
        raise BadInput(name, "a number of seconds, zero or more")
    return min(value, most)
