"""`brama run` as a process: its log, and what its exit code says to systemd."""

import asyncio
import logging
import os
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path

from config.settings import EXIT_BAD_SETTINGS, BadSettings, load_settings

EXIT_DEFECT = 70
"""`EX_SOFTWARE` of sysexits.h: systemd starts the gate again."""

EXIT_IO = 74
"""`EX_IOERR` of sysexits.h: a disk that is full, read-only or failing; systemd tries again."""

NICENESS = -10
"""A guest waits for this process, and for no other on the box."""


def run_gate(config: Path) -> int:
    """Run the gate until it is told to stop; return the process's exit code."""
    log_to_stderr(logging.INFO)
    try:
        settings = load_settings(config)
        from edge.main import run

        _come_first()
        asyncio.run(run(settings))
    except BadSettings as exc:
        sys.stderr.write(f"brama: {exc}\n")
        return EXIT_BAD_SETTINGS
    except sqlite3.OperationalError as exc:
        sys.stderr.write(f"brama: the databases cannot be opened: {exc}; see brama doctor\n")
        return EXIT_IO
    except Exception:
        logging.getLogger("edge").exception("the gate stops: better closed than wrong")
        return EXIT_DEFECT
    return 0


def _come_first() -> None:
    """Ask for the processor before others, where that is allowed: to root, and by the unit; see setpriority(2)."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def log_to_stderr(level: int) -> None:
    """Send the log to standard error, where systemd takes it up."""
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
