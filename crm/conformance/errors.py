"""Why a check does not pass, as exceptions named for what follows."""


class Broken(Exception):
    """The contract is not kept: `got` is what came, `mend` what to do in the CRM."""

    def __init__(self, got: str, mend: str) -> None:
        self.got = got
        self.mend = mend
        super().__init__(f"{got}; {mend}")


class NoAnswer(Broken):
    """The CRM did not answer, or the answer broke off."""


class Skipped(Exception):
    """The check cannot be made: `reason` says why, and what would make it possible."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
