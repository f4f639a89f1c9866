"""What the stories of the stores share beside the venue."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def open_umask() -> Iterator[None]:
    """The careless umask of many a system: new files are for all to read."""
    before = os.umask(0o022)
    yield
    os.umask(before)
