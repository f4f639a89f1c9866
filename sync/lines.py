"""What the lines of the change feed say."""

import asyncio
import json
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from sync.errors import BadFeed
from sync.wire import ROW_WIDTHS, Line

BIG_LINE_BYTES = 16 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ADAPTER: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])


def parse_line(raw: bytes, number: int) -> Line | None:
    """Read one feed line; None: a kind that this version does not know, to be skipped and counted.

    Raises:
        BadFeed: names the line, the field and the mend.
    """
    if number == 1:  # which some write before whatever they write (RFC 8259, section 8.1, lets us ignore it)
        raw = raw.removeprefix(_BYTE_ORDER_MARK)
    try:
        return _ADAPTER.validate_json(raw)
    except ValidationError as exc:
        error = exc.errors(include_url=False, include_input=False)[0]
        if error["type"] == "union_tag_invalid":
            return None
        if error["type"] == "too_long" and error["loc"][1:2] == ("rows",) and (shorter := _known_columns(raw)) != raw:
            return parse_line(shorter, number)
        raise BadFeed(f"feed line {number}: {describe(error)}") from exc


async def parsed(raw: bytes, number: int) -> Line | None:
    """Read one feed line as `parse_line` does; a long one in another thread, so that the loop is free for the lanes."""
    if len(raw) < BIG_LINE_BYTES:
        return parse_line(raw, number)
    return await asyncio.to_thread(parse_line, raw, number)


def _known_columns(raw: bytes) -> bytes:
    """Cut the rows of a line to the columns that this version knows: the contract may grow at a row's end, too."""
    line = json.loads(raw)
    width = ROW_WIDTHS.get(line["kind"])
    rows = [row[:width] if isinstance(row, list) else row for row in line["rows"]]
    if rows == line["rows"]:
        return raw
    return json.dumps({**line, "rows": rows, "more_columns": True}).encode()


def describe(error: ErrorDetails) -> str:
    """Put one validation error into words: the field and what is wrong with it."""
    field = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    match error["type"]:
        case "json_invalid":
            return f"not JSON ({message}); each line is one JSON object"
        case "union_tag_not_found":
            return "kind: missing; each line is an object that names its kind"
        case "missing":
            return f"{field}: missing; the Gate API requires it"
        case _ if not field:
            return "not a JSON object"
        case _:
            return f"{field}: {message}"
