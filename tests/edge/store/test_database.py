"""Files are made and brought up to date whole, whoever else does so at that moment."""

import importlib.resources
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge.store.database import VERSIONS, connect


def test_two_processes_may_make_the_same_list_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate was killed; the process that builds its list makes the file while the gate that was started anew does."""
    files: Callable[[str], Any] = importlib.resources.files

    def files_after_the_other(package: str) -> Any:
        monkeypatch.undo()
        connect(tmp_path / "whitelist.building.db", "whitelist").close()
        return files(package)

    monkeypatch.setattr("edge.store.database.resources.files", files_after_the_other)
    with closing(connect(tmp_path / "whitelist.building.db", "whitelist")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSIONS["whitelist"],)
        assert db.execute("SELECT count(*) FROM bucket").fetchone() == (0,)
        assert not db.in_transaction
