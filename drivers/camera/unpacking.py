"""Messages as plain values for JSON, and back, each field checked against its declared type.

What comes back may have been made to do harm: nothing is taken that the declaration does not allow, and all is bounded.
"""

import dataclasses
from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

LONGEST_TEXT = 16_384
"""A symbol holds at most 7,089 characters (QR, digits)."""
MOST_ITEMS = 256
MOST_INTEGER = 1 << 53

_hints: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


class Nonsense(Exception):
    """A packet that is no message."""


def plain(message: Any) -> dict[str, Any]:
    """Return a message as a dict that names it (`"say"`), and so for each message in it."""
    fields = {each.name: getattr(message, each.name) for each in dataclasses.fields(message)}
    return {"say": type(message).__name__, **{name: _plain_value(value) for name, value in fields.items()}}


def built(kind: type[Any], body: object) -> Any:
    """Return the message that `plain` made into `body`.

    Raises:
        Nonsense: fields are missing, unknown, of another type or too large.
    """
    if not isinstance(body, dict):
        raise Nonsense(f"{kind.__name__}: not an object")
    hints = _hints(kind)
    if unknown := body.keys() - hints.keys() - {"say"}:
        raise Nonsense(f"{kind.__name__}: {len(unknown)} unknown fields")
    values = {name: _value(hints[name], value, name) for name, value in body.items() if name != "say"}
    try:
        return kind(**values)
    except TypeError as exc:
        raise Nonsense(f"{kind.__name__}: a field is missing") from exc


def _is_message(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _plain_value(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return plain(value)
    if isinstance(value, tuple):
        return [_plain_value(each) for each in value]
    return value


def _value(kind: Any, value: Any, name: str) -> Any:
    """Return `value` as a `kind`, which is one of those that messages use."""
    origin, within = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return _one_of(within, value, name)
    if origin is tuple:
        return _row(within, value, name)
    if origin is Literal:
        if any(type(value) is type(each) and value == each for each in within):
            return value
    elif _is_message(kind):
        return built(kind, value)
    elif kind is float and type(value) in {int, float}:
        return _number(value, name)
    elif type(value) is kind and _is_bounded(value):
        return value
    raise Nonsense(f"{name}: not what it should be")


def _one_of(kinds: tuple[Any, ...], value: Any, name: str) -> Any:
    if value is None and NoneType in kinds:
        return None
    said = value.get("say") if isinstance(value, dict) else None
    for kind in kinds:
        if kind.__name__ == said if _is_message(kind) else kind is not NoneType:
            return _value(kind, value, name)
    raise Nonsense(f"{name}: not what it should be")


def _row(kinds: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        raise Nonsense(f"{name}: not a list, or too long a one")
    if kinds[1:] == (...,):
        return tuple(_value(kinds[0], each, name) for each in value)
    if len(value) != len(kinds):
        raise Nonsense(f"{name}: {len(value)} items")
    return tuple(_value(kind, each, name) for kind, each in zip(kinds, value, strict=True))


def _number(value: float, name: str) -> float:
    """Return a number that can be reckoned with: JSON has infinities and NaN in Python, and integers of any length."""
    if not abs(value) <= MOST_INTEGER:
        raise Nonsense(f"{name}: no number")
    return float(value)


def _is_bounded(value: Any) -> bool:
    if isinstance(value, str):
        # A lone surrogate cannot be written to a log or a database.
        return len(value) <= LONGEST_TEXT and not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, int):
        return 0 <= value <= MOST_INTEGER
    return isinstance(value, bytes)
