"""Patterns match as in git, and are fast."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.workspace.excludes import DEFAULT_EXCLUDES, Excludes
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


@pytest.mark.parametrize("name", [".reconcile-mirror-restoring", "lost+found"])
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
