"""What drivers ask of whatever makes their outputs safe, should the gate be killed before it can do so itself."""

from dataclasses import dataclass, field
from typing import Protocol

MARGIN_S = 0.5
"""The guard ends a pulse that has lasted so much longer than it may: the gate hangs."""


@dataclass(frozen=True, slots=True)
class NetworkAction:
    """Bytes that make a network relay safe again when sent, as they are, over a new TCP connection.

    `tls`: the connection is TLS, and `host` is the name that its certificate must bear. `payload` may hold a password
    that stands in the relay's address, so it is left out of `repr` and belongs in no log.
    """

    host: str
    port: int
    tls: bool
    payload: bytes = field(repr=False)


class Guard(Protocol):
    """A process apart from the gate, which outlives it for as long as it takes to make its outputs safe."""

    async def ready(self) -> None:
        """Ask for the guard, and return once it can be told of outputs."""

    def disarm(self, key: str) -> None:
        """Forget the deadline: the output has been made safe. A key that is not armed is no error."""


class NetworkGuard(Guard, Protocol):
    """Guards relays behind a network, by undoing their pulses."""

    def arm(self, key: str, action: NetworkAction, deadline_s: float) -> None:
        """Take on `action`: do it once `deadline_s` seconds have passed, or once the gate is gone.

        `key` names the output; arming it again puts this action and deadline in place of the earlier ones.
        """


class GpioGuard(Guard, Protocol):
    """Guards GPIO lines, by sharing their request (linux/gpio.h); a set of lines is bits in the request's order."""

    def hold(self, key: str, descriptor: int, mask: int, safe: int) -> None:
        """Have the outputs `mask` of a request set to `safe` once the gate is gone."""

    def safe(self, key: str, safe: int) -> None:
        """Change what is safe for a held request: open, while the fire contact says so."""

    def limit(self, key: str, after_s: float) -> None:
        """Have a held request made safe after so many seconds, unless it is disarmed before."""

    def drop(self, key: str) -> None:
        """Let go of a request whose outputs have been made safe. A key that is not held is no error."""
