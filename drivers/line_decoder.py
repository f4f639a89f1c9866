"""Codes out of a stream of bytes, one a line: what terminals and serial scanners send."""

MAX_LINE_BYTES = 16 * 1024
"""4,096 characters of up to four bytes; what is longer cannot be a code and is dropped up to the next line end."""


class LineDecoder:
    """Cuts bytes into codes at CR, LF or both; pure.

    An overlong line comes out cut to its limit, so that it is judged unreadable rather than lost.
    """

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """Return the codes that `data` completes; empty lines are none."""
        codes = []
        *whole, rest = data.replace(b"\r", b"\n").split(b"\n")
        for part in whole:
            self._hold(part)
            if code := self._take():
                codes.append(code)
        self._hold(rest)
        return codes

    def flush(self) -> str | None:
        """Forget what is held, and return it if it is more than blanks: no line end is to come."""
        return self._take()

    @property
    def half_read(self) -> bool:
        """Tell whether a code has begun that no line end has closed."""
        return bool(self._held)

    def _hold(self, part: bytes) -> None:
        self._held += part[: MAX_LINE_BYTES + 1 - len(self._held)]

    def _take(self) -> str | None:
        raw = bytes(self._held)
        self._held.clear()
        return text_of(raw) if raw.strip() else None


def text_of(raw: bytes) -> str:
    """Return the bytes of a code as text: UTF-8, or else Latin-1, which scanners with no character set setting send."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
