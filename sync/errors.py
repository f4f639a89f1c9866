"""What can go wrong on the way to the CRM, named for what follows."""

from collections.abc import Awaitable, Callable

Again = Callable[[], Awaitable[None]]
"""Returns once trying again may help, since what was amiss has changed."""


class LinkDown(Exception):
    """The CRM cannot be reached, is slow, or answers with something else: try again later.

    `retry_after_s`: how long it asked to be left alone, in seconds. `again`: what tells when to try again before that;
    None: nobody can.
    """

    retry_after_s: float | None = None

    def __init__(self, message: str = "", again: Again | None = None) -> None:
        super().__init__(message)
        self.again = again


class Refused(LinkDown):
    """The CRM answered that it will not do this as it was asked: an HTTP status of 400 to 499, `status`."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class TokenRefused(Exception):
    """The CRM does not know this device's token; `revoked` outright or not. The message names the mend."""

    def __init__(self, message: str, *, revoked: bool = False) -> None:
        super().__init__(message)
        self.revoked = revoked


class CursorExpired(Exception):
    """The cursor is too old, or from another CRM: start again without one."""


class BadFeed(LinkDown):
    """The CRM sent something outside the contract; the message names the line, the field and the mend."""


class EnrolmentRefused(Exception):
    """The CRM did not take the enrolment code; the message says why."""
