"""A workspace before it is lost, and the volume after that."""

from pathlib import Path

import pytest

from bench.trees import w1, write_hard_names
from tests.mirror.workspace.snapshot_files import T


@pytest.fixture
def before(tmp_path: Path) -> Path:
    folder = tmp_path / "before"
    folder.mkdir()
    write_hard_names(folder / "odd", lambda: T)
    w1(folder, 40)
    return folder


@pytest.fixture
def after(tmp_path: Path) -> Path:
    (tmp_path / "after").mkdir()
    return tmp_path / "after"
