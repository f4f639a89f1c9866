"""Time from a scanner's last key event to the relay's line rising, in the machine of `make test-hardware`.

The floor in the same machine: bare evdev reads the same events, and a bare line write follows.
"""

import json
from pathlib import Path

from tests.hardware import boards, build, checkout, states
from tests.hardware.machine import Machine

GUEST_TIMEOUT_S = 600.0


def run(_folder: Path) -> None:
    """Measure and print; builds the machine's image first, where it is missing."""
    image = build.build(print)
    board = boards.pc(image)
    with Machine(board, states.booted(image, board)) as machine:
        checkout.bring_in(machine, checkout.packed(*checkout.PARTS, "bench"))
        said = machine.run(f"cd {checkout.AT} && python3 -m bench.relay_in_machine", GUEST_TIMEOUT_S)
    found = json.loads(said.splitlines()[-1])
    gate, floor, commit = found["gate"], found["floor"], found["commit"]
    print("relay: last key event -> relay line rising, in the virtual machine (software emulation)")
    print(f"{'':>14} {'p50 ms':>8} {'p99 ms':>8}")
    for name, figures in found.items():
        print(f"{name:>14} {figures['p50']:>8.2f} {figures['p99']:>8.2f}")
    goal = 2 * floor["p50"] + commit["p50"]
    print(f"gate p50 over (2 floors + one durable commit): {gate['p50'] / goal:.2f} (goal: at most 1)")
