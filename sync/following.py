"""How the processes that read and build lists stand to the gate, whose children they are.

Source: setpriority(2); prctl(2), PR_SET_PDEATHSIG.
"""

import ctypes
import os
import signal

NICENESS = 10
_PR_SET_PDEATHSIG = 1


def follow_the_gate() -> None:
    """Let the gate come first, and end with it.

    Where the gate is killed the end of the socket would tell, too, but only once what was sent before it is done: a
    gate that is back within a second would meet its predecessor's child at the same file.
    """
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
