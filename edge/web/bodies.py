"""What may be asked of the device's API: bounded bodies, read into models, refused with the name of the field."""

import json
import re
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from aiohttp import web
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from edge.web.errors import ApiError, bad_request

MAX_BODY_BYTES = 64 * 1024
MAX_SEQ = 2**63 - 1
"""SQLite's largest integer."""

Model = TypeVar("Model", bound=BaseModel)

_SCAN_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
"""What every CRM can keep, and a URL can carry."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), " ")


def _scan_id(text: str) -> str:
    if not _SCAN_ID.fullmatch(text):
        raise ValueError("use 1 to 64 letters, digits or any of . _ : - such as a UUID")
    return text


def _one_line(value: object) -> object:
    """Drop what neither a screen nor every CRM's database can keep."""
    return value.translate(_CONTROLS).strip() if isinstance(value, str) else value


ScanId = Annotated[str, AfterValidator(_scan_id)]
LaneName = Annotated[str, Field(min_length=1, max_length=100)]
Short = Annotated[str, Field(min_length=1, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScanRequest(_Body):
    """`POST /api/v1/scans`. A code that nobody can read is refused by the gate, not by the API."""

    code: str
    lane: LaneName | None = None
    direction: Literal["entry", "exit"] | None = None
    scan_id: ScanId | None = None


class WhoRequest(_Body):
    """Who someone is: a badge as scanned, or a controller's id and PIN."""

    badge: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    controller: Short | None = None
    pin: Short | None = None
    lane: LaneName | None = None


class ShiftRequest(WhoRequest):
    """`POST /api/v1/shift`."""


class OverrideRequest(WhoRequest):
    """`POST /api/v1/scans/{id}/override`; whose word it is may be left out where a supervisor is on shift."""

    reason: Annotated[str, Field(min_length=1, max_length=500), BeforeValidator(_one_line)]


class DropRequest(_Body):
    """`POST /api/v1/sync/parked/{id}/drop`."""

    reason: Annotated[str, Field(min_length=1, max_length=500), BeforeValidator(_one_line)]


class ScansQuery(BaseModel):
    """`GET /api/v1/scans`: rows after a seq, oldest first."""

    after: Annotated[int, Field(ge=0, le=MAX_SEQ)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class ChangesQuery(BaseModel):
    """`POST /api/v1/changes`: the cursor that the lines go on from, where the CRM says."""

    since: Annotated[str, Field(min_length=1, max_length=1000)] | None = None


class LaneQuery(BaseModel):
    """`DELETE /api/v1/shift`."""

    lane: LaneName | None = None


class HistoryQuery(LaneQuery):
    """`GET /api/v1/history`: the newest answers of a lane."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20


class PictureQuery(BaseModel):
    """`GET /api/v1/cameras/{id}/live`: at most one picture in `every_ms`, of `width` pixels as far as others let."""

    width: Annotated[int, Field(ge=80, le=1920)] = 640
    every_ms: Annotated[int, Field(ge=100, le=10_000)] = 100


async def read_body(request: web.Request, model: type[Model], big: str = "body") -> Model:
    """Read a JSON object into `model`; `big` is the field to name where the body is too long.

    Raises:
        ApiError: 400 or 413, naming the field and the mend.
    """
    raw = await _bounded(request, big)
    try:
        found = json.loads(raw.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as exc:
        raise bad_request("body", f"not UTF-8 at byte {exc.start}; send the text as UTF-8") from exc
    except (ValueError, RecursionError) as exc:
        raise bad_request("body", "not JSON; send one object, such as {" + _example(model) + "}") from exc
    if not isinstance(found, dict):
        raise bad_request("body", "not a JSON object; send {" + _example(model) + "}")
    return _check(model, {_mended(key): _mended(value) for key, value in found.items()})


def read_query(request: web.Request, model: type[Model]) -> Model:
    """Read the query string into `model`; what it does not know is not its business.

    Raises:
        ApiError: 400, naming the field.
    """
    return _check(model, {_mended(key): _mended(value) for key, value in request.query.items()})


async def _bounded(request: web.Request, big: str) -> bytes:
    body = bytearray()
    if (request.content_length or 0) <= MAX_BODY_BYTES:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
        else:
            return bytes(body)
    raise bad_request(big, f"too long; a body has at most {MAX_BODY_BYTES} bytes", 413, "too_large")


def _check(model: type[Model], found: dict[str, Any]) -> Model:
    try:
        return model.model_validate(found)
    except ValidationError as exc:
        raise _refusal(model, exc) from exc


def _refusal(model: type[BaseModel], exc: ValidationError) -> ApiError:
    """Put the first thing that is wrong into words; what was sent is not repeated."""
    error = exc.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in error["loc"])[:100] or "body"
    match error["type"]:
        case "missing":
            what = "missing; add it"
        case "extra_forbidden":
            what = f"no such key; known: {', '.join(model.model_fields)}"
        case "value_error":
            what = str(error["msg"]).removeprefix("Value error, ")
        case _:
            what = f"{error['msg'][0].lower()}{error['msg'][1:]}"
    return bad_request(field, what)


def _mended(value: Any) -> Any:
    """Take a lone surrogate for what it is, an unreadable character: no string of ours may fail to be written."""
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value


def _example(model: type[BaseModel]) -> str:
    return f'"{next(iter(model.model_fields))}": "..."'


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
