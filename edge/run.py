"""`brama run` as a process: its log, and what its exit code says to systemd."""

import asyncio
import logging
import sys
from pathlib import Path

from config.settings import EXIT_BAD_SETTINGS, BadSettings, load_settings

EXIT_DEFECT = 70
"""`EX_SOFTWARE` of sysexits.h: systemd starts the gate again."""


def run_gate(config: Path) -> int:
    """Run the gate until it is told to stop; return the process's exit code."""
    log_to_stderr(logging.INFO)
    try:
        settings = load_settings(config)
        from edge.main import run

        asyncio.run(run(settings))
    except BadSettings as exc:
        sys.stderr.write(f"brama: {exc}\n")
        return EXIT_BAD_SETTINGS
    except Exception:
        logging.getLogger("edge").exception("the gate stops: better closed than wrong")
        return EXIT_DEFECT
    return 0


def log_to_stderr(level: int) -> None:
    """Send the log to standard error, where systemd takes it up."""
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
