"""What can be wrong with what people and boxes send, as exceptions named for what follows."""

from pydantic import ValidationError


class BadInput(ValueError):
    """A value that will not do: `field` names it, the message says how to mend it. HTTP 400, exit code 1."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(f"{field}: {message}")


class NotFound(BadInput):
    """A thing that `field` names and that does not exist. HTTP 404, exit code 1."""


class Denied(Exception):
    """A device or client that may not do this; `status` is the HTTP status, `code` for programs."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        super().__init__(message)


def bad_input(exc: ValidationError) -> BadInput:
    """Turn pydantic's first complaint into one that names the field as the wire does."""
    first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "body"
    return BadInput(field, first["msg"].removeprefix("Value error, "))
