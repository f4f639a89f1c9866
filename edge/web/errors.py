"""Refusals of the device's API as values of one form: `{"error":{"code","message","field"?}}`."""

import logging
import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from edge.judging import NotAllowed, NotFound
from edge.people import NotKnown
from edge.store.outbox import NotParked
from edge.store.tx import StoreRefusal
from edge.store.writer import CannotRecord
from sync.errors import BadFeed

log = logging.getLogger(__name__)

MOST_MESSAGE = 500
"""The longest message that is sent back, in characters: what came in may be quoted, never echoed whole."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FIELD = re.compile(r"([A-Za-z_][A-Za-z0-9_.]{0,39}): ")


class ApiError(Exception):
    """A request that is not done; `message` names the field and what mends it."""

    def __init__(
        self, status: int, code: str, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = headers


def bad_request(field: str, what: str, status: int = 400, code: str = "bad_request") -> ApiError:
    """Make the refusal of one field."""
    return ApiError(status, code, f"{field}: {what}", field)


def error_response(
    status: int, code: str, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Write an error in the one form."""
    error = {"code": code, "message": _cut(message)}
    if field is not None:
        error["field"] = _cut(field)
    return web.json_response({"error": error}, status=status, headers=headers)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error in the one form; a defect is logged with its trace, and the answer does not show it."""
    try:
        return await handler(request)
    except ApiError as exc:
        return error_response(exc.status, exc.code, exc.message, exc.field, exc.headers)
    except (StoreRefusal, CannotRecord, BadFeed) as exc:
        status, code = _kind_of(exc)
        found = _FIELD.match(str(exc))
        return error_response(status, code, str(exc), found[1] if found else None)
    except web.HTTPException as exc:
        return _of_aiohttp(request, exc)
    except web.RequestPayloadError:
        return error_response(400, "bad_request", "body: damaged on its way here; send it again whole", "body")
    except ConnectionError:
        raise  # the client went away: nobody is left to tell
    except sqlite3.Error as exc:
        log.exception("%s %s: the store failed", request.method, request.path)
        return error_response(503, "store_failed", f"the data cannot be read ({exc}); run brama doctor")
    except Exception:
        log.exception("%s %s: defect", request.method, request.path)
        return error_response(500, "defect", "the gate could not do this; the scan lanes go on; see the gate's log")


def _kind_of(exc: Exception) -> tuple[int, str]:
    match exc:
        case CannotRecord():
            return 503, "cannot_record"
        case BadFeed():
            return 400, "bad_feed"
        case NotKnown():
            return 403, "not_known"
        case NotFound() | NotParked():
            return 404, "not_found"
        case NotAllowed():
            return 409, "not_allowed"
        case _:
            return 409, "refused"


def _of_aiohttp(request: web.Request, exc: web.HTTPException) -> web.StreamResponse:
    """Put what aiohttp itself answers into our form."""
    if exc.status < 400:
        raise exc
    allow = {"Allow": exc.headers["Allow"]} if "Allow" in exc.headers else None
    if exc.status == 404:
        return error_response(404, "not_found", f"no {_cut(request.path, 200)} here; see /api/v1/openapi.json")
    if exc.status == 405:
        ways = exc.headers.get("Allow", "")
        return error_response(
            405, "method_not_allowed", f"{request.method} is not for this path; use {ways}", None, allow
        )
    code = (exc.reason or "error").lower().replace(" ", "_")
    return error_response(exc.status, code, exc.text or exc.reason, None, allow)


def _cut(text: str, most: int = MOST_MESSAGE) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
