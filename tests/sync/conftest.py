"""A gate's sync engine on real files, against a CRM that answers by a script over a real socket."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sync.book import Book
from tests.sync.rig import News, Rig, ScriptedCrm, open_rig, served


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
async def crm() -> ScriptedCrm:
    return ScriptedCrm(News())


@pytest.fixture
async def rig(tmp_path: Path, crm: ScriptedCrm) -> AsyncIterator[Rig]:
    async with served(crm.app()) as url, open_rig(tmp_path / "gate", url, crm) as opened:
        yield opened
        crm.closing.set()
