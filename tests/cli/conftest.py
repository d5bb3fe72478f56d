"""A tree with one session, and a clean environment for the program."""

import pytest

from tests.cli.trees import Tree


@pytest.fixture
def tree(tmp_path, capsys, monkeypatch):
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return Tree(tmp_path, capsys).add("one")
