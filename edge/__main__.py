"""The program's door: `brama run` goes in by itself, since a gate has no memory for what the other commands load."""

import argparse
import sys
from pathlib import Path

from config.settings import DEFAULT_PATH
from edge.run import run_gate


def main() -> None:
    """Run `brama`."""
    if sys.argv[1:2] == ["run"]:
        parser = argparse.ArgumentParser("brama run", description="Run the gate until it is told to stop.")
        parser.add_argument("-c", "--config", type=Path, default=DEFAULT_PATH, help="the settings, a TOML file")
        raise SystemExit(run_gate(parser.parse_args(sys.argv[2:]).config))
    from edge.cli import main as main_of_others

    main_of_others()


if __name__ == "__main__":
    main()
