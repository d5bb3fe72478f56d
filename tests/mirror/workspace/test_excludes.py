"""Patterns match as in git, and are fast."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.wiring import build_excludes
from reconcile.mirror.workspace.excludes import (
    CLONING_DIR,
    DEFAULT_EXCLUDES,
    STAGING_DIR,
    Excludes,
)
from reconcile.mirror.workspace.walk import walk


def excluded(patterns, path: str, *, directory: bool = False) -> bool:
    return Excludes(patterns).is_excluded(path, path.rpartition("/")[2], directory=directory)


@pytest.mark.parametrize(
    "path",
    [
        "__pycache__",
        "a/__pycache__",
        ".cache",
        "a/node_modules/.cache",
        ".npm/_cacache",
    ],
)
def test_caches_are_excluded_by_default(path: str):
    assert excluded(DEFAULT_EXCLUDES, path, directory=True)
    assert not excluded(DEFAULT_EXCLUDES, path, directory=False)


@pytest.mark.parametrize(
    "path",
    [
        "repo/.git/index.lock",
        ".git/refs/heads/main.lock",
        "repo/.git/modules/sub/index.lock",
        "repo/.git/objects/ab/tmp_obj_x1",
        "repo/.git/objects/pack/tmp_pack_x1",
        "repo/.git/gc.pid",
        ".nfs000001",
    ],
)
def test_files_of_a_killed_git_are_excluded_by_default(path: str):
    assert excluded(DEFAULT_EXCLUDES, path)


@pytest.mark.parametrize(
    "path",
    [
        ".git",
        ".git/HEAD",
        "repo/.git/index",
        "repo/.git/objects/ab/cdef",
        "Cargo.lock",
        "a/poetry.lock",
        "node_modules",
        ".venv",
        "dist",
        "build",
        "a/lost+found",
        "tmp_obj_notes",
        "new\nline",
        "\udcff",
    ],
)
def test_work_is_kept_by_default(path: str):
    assert not excluded(DEFAULT_EXCLUDES, path, directory=True)
    assert not excluded(DEFAULT_EXCLUDES, path)


def test_a_later_pattern_includes_a_path_again():
    patterns = (*DEFAULT_EXCLUDES, "!__pycache__/", "*.log", "!keep.log")
    assert not excluded(patterns, "a/__pycache__", directory=True)
    assert excluded(patterns, "a/b.log")
    assert not excluded(patterns, "a/keep.log")


@pytest.mark.parametrize("name", [STAGING_DIR, CLONING_DIR, "lost+found"])
@pytest.mark.parametrize("directory", [True, False])
@pytest.mark.parametrize("pattern", ["!*", "!.reconcile-mirror-restoring", "!/lost+found/"])
def test_paths_that_a_restore_cannot_write_are_always_excluded(name, directory, pattern):
    assert excluded((pattern,), name, directory=directory)
    assert not excluded((pattern,), f"a/{name}", directory=directory)


@pytest.mark.parametrize(
    ("patterns", "path", "directory", "out"),
    [
        (["!*", "a/"], "a", True, True),
        (["!*", "a/"], "a", False, False),
        (["*/", "!/a/"], "a/b", True, True),
        (["b", "!a"], "a/b", False, True),
        (["a", "!a/"], "a/b", False, False),
        (["a/ "], "a", True, True),
        (["/", ""], "a", True, False),
    ],
)
def test_the_last_pattern_for_the_path_counts_as_in_git(patterns, path, directory, out):
    assert excluded(patterns, path, directory=directory) is out


def test_a_newline_in_a_name_is_an_ordinary_character():
    assert not excluded(["*.log"], "a.log\n")
    assert excluded(["a*z"], "a\nz")


@pytest.mark.parametrize("pattern", ["a\nb", "a\0b", "!"])
def test_an_invalid_pattern_is_named(pattern: str):
    with pytest.raises(SettingsError, match="exclude pattern 2") as caught:
        Excludes(["*.log", pattern])
    assert repr(pattern) in str(caught.value)


def test_a_pattern_matches_the_path_and_not_its_children():
    assert excluded(["*.pyc", "!kept"], "kept/a.pyc")
    assert excluded(["!*", "/data/"], "data", directory=True)


segments = st.sampled_from(["a", "b", "ab", "a.b", "b.log", "*", "*.log", "a*", "?", "[ab]", "**"])
patterns = st.lists(
    st.builds(
        lambda negated, anchored, parts, folder: (
            ("!" if negated else "")
            + ("/" if anchored else "")
            + "/".join(parts)
            + ("/" if folder else "")
        ),
        st.booleans(),
        st.booleans(),
        st.lists(segments, min_size=1, max_size=3),
        st.booleans(),
    ),
    max_size=4,
)
files = st.sets(
    st.lists(st.sampled_from(["a", "b", "ab", "a.b", "b.log"]), min_size=1, max_size=3).map(
        "/".join
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(patterns, files)
def test_the_walk_excludes_what_git_ignores(lines, paths):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for path in sorted(paths):
            file = root / path
            if not any(parent.is_file() for parent in file.parents) and not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
        subprocess.run(("git", "init", "--quiet", name), check=True)
        (root / ".git/info/exclude").write_text("\n".join(lines))
        listed = subprocess.run(
            ("git", "-C", name, "ls-files", "--others", "--exclude-standard", "-z"),
            check=True,
            capture_output=True,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        )
        kept = set(listed.stdout.decode().split("\0")) - {""}
        seen, _ = walk(root, Excludes((*lines, "/.git/")))
        ours = {entry.path for entry in seen if (root / entry.path).is_file()}
        assert ours == kept


@pytest.mark.parametrize("state_dir", [".claude", "./.claude/", "deep/er/state"])
@pytest.mark.parametrize(
    "pattern", ["*", "*/", "/.*", ".session", ".claude/", "deep/", "er", "st*"]
)
def test_no_pattern_excludes_the_protected_directories(state_dir, pattern):
    name = "/".join(part for part in state_dir.split("/") if part not in {"", "."})
    excludes = build_excludes((pattern, "*.jsonl"), state_dir, default=True)
    parents = ["/".join(name.split("/")[: end + 1]) for end in range(name.count("/") + 1)]
    for folder in (".session", *parents):
        last = folder.rpartition("/")[2]
        assert not excludes.is_excluded(folder, last, directory=True)
    for folder in (".session", name):
        assert not excludes.is_excluded(f"{folder}/x.jsonl", "x.jsonl", directory=False)
        assert excludes.is_excluded(f"{folder}/.cache", ".cache", directory=True)
    assert excludes.is_excluded("x.jsonl", "x.jsonl", directory=False)


def test_only_the_protected_directory_of_an_excluded_directory_is_stored():
    excludes = build_excludes(("deep/",), "deep/er/state", default=True)
    for path, out in {"deep": False, "deep/er": False, "deep/x": True, "deep/er/x": True}.items():
        assert excludes.is_excluded(path, path.rpartition("/")[2], directory=True) is out
    assert not excludes.is_excluded("deep/er/state/x", "x", directory=True)


def test_a_cache_in_a_protected_directory_is_stored_where_a_pattern_includes_it():
    for patterns, default in ((("!.cache/",), True), ((), False)):
        excludes = build_excludes(patterns, ".claude", default=default)
        assert not excludes.is_excluded(".claude/.cache", ".cache", directory=True)


def test_patterns_that_match_a_protected_directory_are_found():
    patterns = ("*.log", ".session/", "!.claude", "deep", "state/", "x/state", "/st*")
    excludes = build_excludes(patterns, "deep/state", default=True)
    assert excludes.find_ineffective() == [".session/", "deep", "state/"]
    assert Excludes(patterns).find_ineffective() == []


@pytest.mark.parametrize("state_dir", ["", "/", ".", "/etc", "../x", "a/../../x", "a\0b"])
def test_a_state_directory_that_is_not_below_the_workspace_is_refused(state_dir):
    with pytest.raises(SettingsError, match="--runner-state-dir"):
        build_excludes((), state_dir, default=True)
