"""A tree that is walked, read and restored is the same tree."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import trees
from tests.mirror.compare_trees import differences, rsync_differences
from tests.mirror.workspace.snapshots import put, take
from tests.mirror.workspace.unprivileged import open_folder


def test_a_workspace_round_trips(tmp_path: Path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    trees.w2(before, scale=0.01)
    put(take(before), after)
    assert differences(before, after) == []
    assert rsync_differences(before, after) == []
    assert len(list(after.rglob("*"))) > 1000


def test_rsync_detects_a_loss_too(tmp_path: Path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    (before / "a").write_bytes(b"one")
    put(take(before), after)
    (after / "a").chmod(0o600)
    (after / "b").touch()
    assert len(rsync_differences(before, after)) == 2


def test_the_comparison_detects_every_kind_of_loss(tmp_path: Path):
    before = tmp_path / "before"
    before.mkdir()
    trees.write_hard_names(before / "odd", lambda: 1_700_000_000_000_000_001)
    memory = take(before)
    losses = [
        lambda root: (root / "odd/modes/0600").chmod(0o644),
        lambda root: os.utime(root / "odd/modes/0600", ns=(1, 2)),
        lambda root: (root / "odd/shapes/empty/in/empty").rmdir(),
        lambda root: (root / "odd/linked/dangling").unlink(),
        lambda root: (root / "odd/files/%").write_bytes(b"other"),
        lambda root: (root / "odd/new").touch(),
        _unlinked,
    ]
    for number, lose in enumerate(losses):
        after = tmp_path / f"after-{number}"
        after.mkdir()
        put(memory, after)
        assert differences(before, after) == []
        lose(after)
        assert differences(before, after) != []


def _unlinked(root: Path) -> None:
    path = root / "odd/linked/three"
    status, data, above = path.stat(), path.read_bytes(), path.parent.stat()
    path.unlink()
    path.write_bytes(data)
    path.chmod(status.st_mode & 0o7777)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    os.utime(path.parent, ns=(above.st_mtime_ns, above.st_mtime_ns))


names = st.binary(min_size=1, max_size=255).filter(
    lambda name: name not in {b".", b".."} and b"/" not in name and b"\0" not in name
)
times = st.integers(0, 4_000_000_000_000_000_000)
modes = st.integers(0, 0o7777)


@st.composite
def nodes(draw: st.DrawFn, depth: int = 3):
    kind = draw(st.sampled_from(("file", "link", "hard", "folder") if depth else ("file", "link")))
    if kind == "file":
        return ("file", draw(modes), draw(times), draw(st.binary(max_size=3000)))
    if kind == "link":
        return ("link", draw(times), draw(names))
    if kind == "hard":
        return ("hard",)
    children = draw(st.dictionaries(names, nodes(depth - 1), max_size=4))
    return ("folder", draw(modes), draw(times), children)


def build(path: str, node: tuple) -> None:
    match node:
        case ("file", mode, time, data):
            Path(path).write_bytes(data)
            Path(path).chmod(mode)
            os.utime(path, ns=(time, time))
        case ("link", time, target):
            Path(path).symlink_to(os.fsdecode(target))
            os.utime(path, ns=(time, time), follow_symlinks=False)
        case ("folder", mode, time, children):
            Path(path).mkdir()
            first = None
            for name, child in children.items():
                inner = f"{path}/{os.fsdecode(name)}"
                if child == ("hard",):
                    if first:
                        os.link(first, inner)
                else:
                    build(inner, child)
                    first = inner if child[0] == "file" else first
            Path(path).chmod(mode)
            os.utime(path, ns=(time, time))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, nodes(), max_size=5))
def test_any_tree_round_trips(tree: dict):
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before", Path(folder) / "after"
        after.mkdir()
        build(str(before), ("folder", 0o755, 0, {k: v for k, v in tree.items() if v != ("hard",)}))
        memory = take(before, chunk=1000)
        put(memory, after, chunk=1000)
        assert differences(before, after) == []


@pytest.mark.parametrize("depth", [300, 900])
def test_a_tree_deeper_than_the_path_limit_round_trips(depth: int):
    with open_folder() as folder:
        before, after = folder / "before", folder / "after"
        before.mkdir()
        after.mkdir()
        dig(before, depth)
        memory = take(before)
        assert len(memory.entries) == depth + 1
        put(memory, after)
        assert take(after).entries == memory.entries


def dig(root: Path, depth: int) -> None:
    """Make nested folders with a file at the bottom, step by step."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deep", dir_fd=descriptor)
        below = os.open("deep", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
