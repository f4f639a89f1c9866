"""What a turnstile asks of whatever undoes its pulse for it, should the gate be killed before it can do so itself."""

from dataclasses import dataclass, field
from typing import Protocol


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
    """A process apart from the gate, which outlives it for as long as it takes to undo a pulse."""

    async def ready(self) -> None:
        """Ask for the guard, and return once it can take actions on."""

    def arm(self, key: str, action: NetworkAction, deadline_s: float) -> None:
        """Take on `action`: do it once `deadline_s` seconds have passed, or once the gate is gone.

        `key` names the output; arming it again puts this action and deadline in place of the earlier ones.
        """

    def disarm(self, key: str) -> None:
        """Forget the action: the output has been made safe. A key that is not armed is no error."""
