"""How the processes that read and build lists share a processor with the gate."""

import os

NICENESS = 10


def stand_back() -> None:
    """Let the gate, whose child this is, come first; see setpriority(2)."""
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
