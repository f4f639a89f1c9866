"""What is wrong with the settings, in words: the key, the fault, and what mends it."""

import difflib
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

Tables = list[type[BaseModel]]
_PLANNED = frozenset({"pretix"})
"""Values that the design names and that a later release will know."""


def described(error: ErrorDetails, root: type[BaseModel]) -> str:
    """Put one validation error of `root` into words: the key, what is wrong, what mends it."""
    keys, tables = _followed(error["loc"], root)
    key = ".".join(keys)
    match error["type"]:
        case "missing":
            return f"{key}: missing; add it"
        case "extra_forbidden":
            return f"{key}: no such key{_nearest(error['loc'], root)}"
        case "value_error":
            said = str(error["msg"]).removeprefix("Value error, ")
            return said if not key or said.startswith(key) else f"{key}: {said}"
        case "union_tag_invalid":
            context = error.get("ctx", {})
            missing = " is not there yet" if context["tag"] in _PLANNED else ""
            return f"{key}.{_tag_key(tables)}: {context['tag']}{missing}; use one of {context['expected_tags']}"
        case "union_tag_not_found":
            tags = [tag for table in tables for tag in _tags_of(table)]
            return f"{key}.{_tag_key(tables)}: missing; use one of {', '.join(map(repr, tags))}"
        case "model_type" | "model_attributes_type":
            return f"{key}: write it as a table, with its keys in {{ }}"
        case "tuple_type":
            return f"{key}: write it as a list, with its parts in [ ]"
        case _:
            found = error["input"]
            shown = f" (found {found!r})" if isinstance(found, (str, int, float)) else ""
            return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}{shown}"


def _followed(loc: tuple[int | str, ...], root: type[BaseModel]) -> tuple[list[str], Tables]:
    """Return the keys of the file that lead to an error, and the tables that may stand there."""
    keys: list[str] = []
    tables: Tables = [root]
    for part in loc:
        if isinstance(part, int):
            keys.append(str(part))
        elif len(tables) > 1:  # the name of a driver or a kind: it stands there only for pydantic
            tables = [table for table in tables if part in _tags_of(table)]
        else:
            keys.append(part)
            fields = [table.model_fields[part] for table in tables if part in table.model_fields]
            tables = [table for field in fields for table in _tables_in(field.annotation)]
    return keys, tables


def _tables_in(annotation: Any) -> Tables:
    """Find the tables of which a key's type is made, in the order in which it names them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for part in get_args(annotation) for table in _tables_in(part)]


def _tags_of(table: type[BaseModel]) -> tuple[str, ...]:
    """Return the values by which a table is told from the others that may stand in its place."""
    field = table.model_fields.get(_tag_key([table]))
    return get_args(field.annotation) if field else ()


def _tag_key(tables: Tables) -> str:
    return "kind" if any("kind" in table.model_fields for table in tables) else "driver"


def _nearest(loc: tuple[int | str, ...], root: type[BaseModel]) -> str:
    """Suggest the key that was meant."""
    known = [key for table in _followed(loc[:-1], root)[1] for key in table.model_fields]
    close = difflib.get_close_matches(str(loc[-1]), known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
