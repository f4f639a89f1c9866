"""Whole systems of real processes."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.system.centrals import CentralProcess
from tests.system.processes import HANG_S, Children, GateProcess, free_ports


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    found = Children(tmp_path)
    yield found
    found.end()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=HANG_S)
    connector = aiohttp.TCPConnector(limit=0, force_close=False)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield session


@pytest.fixture
def gates(tmp_path: Path, children: Children, http: aiohttp.ClientSession) -> list[GateProcess]:
    """Two gates, neither configured nor started."""
    ports = free_ports(2)
    return [
        GateProcess(tmp_path / name, port, children, http, name)
        for name, port in zip(("North", "South"), ports, strict=True)
    ]


@pytest.fixture
def gate(gates: list[GateProcess]) -> GateProcess:
    """A gate with an identity and no CRM, which lives on what is pushed to it; not started."""
    found = gates[0]
    found.configure("c-1")
    found.enrol()
    return found


@pytest.fixture
def central(tmp_path: Path, children: Children, http: aiohttp.ClientSession) -> CentralProcess:
    """A central, neither stocked nor started."""
    return CentralProcess(tmp_path / "central.db", free_ports(1)[0], children, http)
