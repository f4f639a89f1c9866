"""`make bench`: everything that is measured, or what is named: `make bench ARGS=memory`."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import decision, memory, relay

BENCHES: dict[str, Callable[[Path], None]] = {"decision": decision.run, "memory": memory.run, "relay": relay.run}


def main(names: list[str]) -> None:
    """Run the benches named, or all; the data lies on the disk of the working folder."""
    for name in names or BENCHES:
        if name not in BENCHES:
            sys.exit(f"bench: no bench {name}; use {', '.join(BENCHES)}")
        with tempfile.TemporaryDirectory(prefix="bench-", dir=Path.cwd()) as folder:
            BENCHES[name](Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
