"""Machines for the hardware tests. Every test here carries the marker `hardware`: `make test-hardware` runs them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hardware import boards, build, checkout, states, venue
from tests.hardware.machine import Machine
from tests.hardware.venue import Venue

HERE = Path(__file__).parent
LONG_S = 300
"""For the first test, which waits until its machine has booted."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.hardware)
            item.add_marker(pytest.mark.timeout(LONG_S))


def with_checkout(image: Path, board: boards.Board) -> Path:
    """Return the state of a board on which this checkout is installed as docs/setup.md does, and compiled."""
    source = checkout.packed(*checkout.PARTS)

    def install(machine: Machine) -> None:
        checkout.bring_in(machine, source)
        machine.run(f"python3 -m compileall -q -j 2 {checkout.AT}")
        machine.run(f"cp {checkout.AT}/config/*.rules /etc/udev/rules.d/ && udevadm control --reload")

    depends = (source, Path(__file__).read_bytes())
    return states.prepared(image, board, states.booted(image, board), depends, install)


@pytest.fixture(scope="session")
def image() -> Path:
    found = build.image()
    assert found.exists(), "the machine is not built: python -m tests.hardware.build"
    return found


@pytest.fixture(scope="session")
def pc(image: Path) -> boards.Board:
    return boards.pc(image)


@pytest.fixture(scope="session")
def installed(image: Path, pc: boards.Board) -> Path:
    """A PC with this checkout installed."""
    return with_checkout(image, pc)


@pytest.fixture
def machine(pc: boards.Board, installed: Path) -> Iterator[Machine]:
    """A PC with this checkout installed, and nothing running."""
    with Machine(pc, installed) as found:
        yield found


@pytest.fixture(scope="session")
def opened(image: Path, pc: boards.Board, installed: Path) -> Path:
    depends = (Path(venue.__file__).read_bytes(),)
    return states.prepared(image, pc, installed, depends, venue.set_up)


@pytest.fixture
def palace(pc: boards.Board, opened: Path) -> Iterator[Venue]:
    """A venue whose central runs and whose gate is enrolled, but not open."""
    with Machine(pc, opened) as found:
        yield Venue(found)


@pytest.fixture(scope="session")
def installed_pi(image: Path) -> Path:
    return with_checkout(image, boards.pi(image))


@pytest.fixture
def pi(image: Path, installed_pi: Path) -> Iterator[Machine]:
    """A Raspberry Pi 3 with this checkout installed, and nothing running; it has no user but root."""
    with Machine(boards.pi(image), installed_pi) as found:
        yield found
