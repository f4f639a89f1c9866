"""Every connector keeps the same contract, each towards the real thing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sync.connector_contract import ConnectorContract
from tests.sync.subjects import SUBJECTS, Subject


@pytest.fixture(params=list(SUBJECTS))
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    async with SUBJECTS[request.param](tmp_path) as opened:
        yield opened


class TestEveryConnector(ConnectorContract):
    """The reference central, a folder, a file, and a file on the web."""
