"""Repair of the runner's file of conversation ids: only ids without a conversation are removed."""

import json
import os

import pytest

from reconcile.runner import conversation
from reconcile.runner.conversation import Repair, repair_conversations
from reconcile.runner.folders import open_folder


@pytest.fixture
def state_dir(tmp_path):
    (tmp_path / "projects/-workspace-repos-shop").mkdir(parents=True)
    (tmp_path / "projects/-workspace-artifacts").mkdir()
    return tmp_path


def repair(state_dir):
    with open_folder(state_dir) as descriptor:
        return repair_conversations(descriptor)


def write_ids(state_dir, ids):
    path = state_dir / "claude_session_ids.json"
    path.write_text(json.dumps(ids))
    return path


def add_conversation(state_dir, name, project="-workspace-artifacts"):
    path = state_dir / "projects" / project / f"{name}.jsonl"
    path.write_text("{}\n")
    return path


def test_an_id_whose_conversation_is_there_stays(state_dir):
    add_conversation(state_dir, "a")
    add_conversation(state_dir, "b", "-workspace-repos-shop")
    path = write_ids(state_dir, {"s": "a", "t": "b"})
    before = path.stat()
    assert repair(state_dir) == Repair()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_id_whose_conversation_is_gone_is_removed(state_dir):
    add_conversation(state_dir, "a")
    path = write_ids(state_dir, {"s": "a", "t": "gone"})
    path.chmod(0o600)
    assert repair(state_dir) == Repair(removed=("gone",))
    assert json.loads(path.read_text()) == {"s": "a"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert repair(state_dir) == Repair()


def test_without_any_conversation_all_ids_are_removed(tmp_path):
    path = write_ids(tmp_path, {"s": "a"})
    assert repair(tmp_path) == Repair(removed=("a",))
    assert json.loads(path.read_text()) == {}


def test_an_empty_conversation_is_none(state_dir):
    add_conversation(state_dir, "a").write_text("")
    write_ids(state_dir, {"s": "a"})
    assert repair(state_dir).removed == ("a",)


@pytest.mark.parametrize("value", [1, None, ["a"], {"a": 1}, "../-workspace-artifacts/a", "x/a"])
def test_what_is_no_id_is_removed(state_dir, value):
    add_conversation(state_dir, "a")
    path = write_ids(state_dir, {"s": value, "t": "a"})
    assert repair(state_dir) == Repair(removed=(str(value),))
    assert json.loads(path.read_text()) == {"t": "a"}


def test_a_conversation_behind_a_link_is_none(state_dir, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "a.jsonl").write_text("{}")
    (state_dir / "projects/link").symlink_to(elsewhere)
    (state_dir / "projects/-workspace-artifacts/a.jsonl").symlink_to(elsewhere / "a.jsonl")
    write_ids(state_dir, {"s": "a"})
    assert repair(state_dir).removed == ("a",)


def test_projects_behind_a_link_are_none(state_dir, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    add_conversation(state_dir, "a")
    (state_dir / "projects").rename(elsewhere / "projects")
    (state_dir / "projects").symlink_to(elsewhere / "projects")
    write_ids(state_dir, {"s": "a"})
    assert repair(state_dir).removed == ("a",)


def test_without_the_file_nothing_is_done(state_dir):
    assert repair(state_dir) == Repair()
    assert not (state_dir / "claude_session_ids.json").exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'"a"', b"\xff", b"[" * 100_000, b" " * (2 << 20)]
)
def test_a_file_that_is_not_what_it_should_be_is_moved_aside(state_dir, content):
    (state_dir / "claude_session_ids.json").write_bytes(content)
    assert repair(state_dir) == Repair(moved="claude_session_ids.json.moved-1")
    assert (state_dir / "claude_session_ids.json.moved-1").read_bytes() == content


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_file_is_moved_aside(state_dir, tmp_path_factory, kind):
    path = state_dir / "claude_session_ids.json"
    target = tmp_path_factory.mktemp("elsewhere") / "ids"
    target.write_text('{"s": "gone"}')
    {
        "link": lambda: path.symlink_to(target),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }[kind]()
    assert repair(state_dir).moved == "claude_session_ids.json.moved-1"
    assert target.read_text() == '{"s": "gone"}'


def test_where_there_are_too_many_conversations_no_id_is_removed(state_dir, monkeypatch):
    monkeypatch.setattr(conversation, "_MOST_CONVERSATIONS", 2)
    add_conversation(state_dir, "a")
    add_conversation(state_dir, "b")
    write_ids(state_dir, {"s": "perhaps"})
    assert repair(state_dir) == Repair()
