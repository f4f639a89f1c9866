"""`make bench`: everything that is measured, or what is named: `make bench ARGS=memory`."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import camera, decision, live, load, memory, push, relay, snapshot, upload

BENCHES: dict[str, Callable[[Path], None]] = {
    "camera": camera.run,
    "decision": decision.run,
    "live": live.run,
    "load": load.run,
    "memory": memory.run,
    "relay": relay.run,
    "snapshot": snapshot.run,
    "upload": upload.run,
}
PARTS: dict[str, Callable[[Path], None]] = {
    "camera-clips": camera.run_clips,
    "camera-conditions": camera.run_conditions,
    "camera-live": camera.run_live,
    "camera-photographs": camera.run_photographs,
    "load-costs": load.run_costs,
    "push": push.run,
}
"""Run only when named."""


def main(names: list[str]) -> None:
    """Run the benches named, or all; the data lies on the disk of the working folder."""
    known = BENCHES | PARTS
    for name in names or BENCHES:
        if name not in known:
            sys.exit(f"bench: no bench {name}; use {', '.join(known)}")
        with tempfile.TemporaryDirectory(prefix="bench-", dir=Path.cwd()) as folder:
            known[name](Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
