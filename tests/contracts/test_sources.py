"""The `Source` port: the same content in a folder and at a commit."""

import os
from pathlib import Path

import pytest

from reconcile.adapters.sources.directory import MAX_FILE_BYTES, DirectorySource
from reconcile.adapters.sources.git import find_checkout, resolve_commit
from reconcile.adapters.sources.git_tree import GitFolder, GitTreeSource
from tests.adapters.sources.repositories import Repository


def from_folder(repository: Repository):
    return DirectorySource(repository.desired)


def from_commit(repository: Repository):
    repository.commit()
    checkout = find_checkout(repository.desired)
    return GitTreeSource(GitFolder(checkout.top, resolve_commit(checkout, "HEAD"), checkout.prefix))


@pytest.fixture(params=[from_folder, from_commit])
def read(request, tmp_path):
    """Make a repository by a function, and read its folder `desired`."""

    def reading(make=None):
        repository = Repository(tmp_path / "repository")
        if make:
            make(repository.desired)
        return request.param(repository).read()

    return reading


def contents(tree):
    return {file.path: file.content for file in tree.files if not file.problem}


def problems(tree):
    return {file.path: file.problem for file in tree.files if file.problem}


def write(path: Path, content: bytes = b"a: 1\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_files_come_with_their_content_by_path(read):
    def make(root):
        for name in ("policy.yaml", "b/x.yml", "a/deep/er/y.yaml", "a/x.yaml", "a.b/z.yaml"):
            write(root / name, name.encode())

    tree = read(make)
    assert contents(tree) == {file.path: file.path.encode() for file in tree.files}
    paths = [file.path for file in tree.files]
    assert paths == ["a/deep/er/y.yaml", "a/x.yaml", "a.b/z.yaml", "b/x.yml", "policy.yaml"]
    assert tree.folders == ("a", "a.b", "b")
    assert len({file.digest for file in tree.files}) == 5


def test_the_digest_is_that_of_the_content(read):
    def make(root):
        write(root / "a/x.yaml")
        write(root / "b/y.yaml")
        write(root / "b/z.yaml", b"")

    digests = [file.digest for file in read(make).files]
    assert digests[0] == digests[1] != digests[2]
    assert all(digests)


def test_what_begins_with_a_dot_and_what_is_no_yaml_is_not_looked_at(read):
    def make(root):
        for name in (".hidden/x.yaml", "a/.x.yaml", "a/.b/x.yaml", "a/x.txt", "a/yaml", "a/X.YAML"):
            write(root / name)

    tree = read(make)
    assert tree.files == ()
    assert tree.folders == ("a",)


def test_a_link_to_a_file_in_the_tree_is_read(read):
    def make(root):
        write(root / "a/x.yaml", b"x")
        write(root / "a/..data/hidden.yaml", b"h")
        (root / "a/y.yaml").symlink_to("x.yaml")
        (root / "b").mkdir()
        (root / "b/z.yaml").symlink_to("../a/y.yaml")
        (root / "b/out-and-in.yaml").symlink_to("../../desired/a/x.yaml")
        (root / "a/h.yaml").symlink_to("..data/hidden.yaml")
        (root / "a/plain").symlink_to("x.yaml")

    assert contents(read(make)) == {
        "a/x.yaml": b"x",
        "a/y.yaml": b"x",
        "b/z.yaml": b"x",
        "b/out-and-in.yaml": b"x",
        "a/h.yaml": b"h",
    }


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("../../outside.yaml", "leaves the tree"),
        ("/etc/hostname", "leaves the tree"),
        ("missing.yaml", os.strerror(2)),
        ("link.yaml", "Too many levels"),
        ("x.yaml/below", os.strerror(20)),
        ("../b", "link to a folder"),
    ],
)
def test_a_link_that_leads_to_no_file_of_the_tree_has_a_problem(read, target, said):
    def make(root):
        write(root / "a/x.yaml")
        write(root / "b/y.yaml")
        write(root.parent / "outside.yaml")
        (root / "a/link.yaml").symlink_to(target)

    tree = read(make)
    assert said in problems(tree)["a/link.yaml"]
    assert contents(tree).keys() == {"a/x.yaml", "b/y.yaml"}


def test_a_folder_that_is_a_link_is_reported_and_not_followed(read):
    def make(root):
        write(root / "a/x.yaml")
        (root / "b").symlink_to("a")

    tree = read(make)
    assert "link to a folder" in problems(tree)["b"]
    assert tree.folders == ("a", "b")
    assert contents(tree).keys() == {"a/x.yaml"}


def test_a_file_that_is_too_large_has_a_problem(read):
    def make(root):
        write(root / "a/most.yaml", b"#" * MAX_FILE_BYTES)
        write(root / "a/more.yaml", b"#" * (MAX_FILE_BYTES + 1))

    tree = read(make)
    assert "larger than 1 MiB" in problems(tree)["a/more.yaml"]
    assert contents(tree).keys() == {"a/most.yaml"}


def test_odd_names_are_kept(read):
    odd = [
        b"a/\xff.yaml",
        "a/é \t.yaml".encode(),
        b"a/line\nbreak.yaml",
        b'a/"quoted".yaml',
        b"-a/x.yaml",
    ]

    def make(root):
        for name in odd:
            write(root / os.fsdecode(name), name)

    assert contents(read(make)) == {os.fsdecode(name): name for name in odd}


def test_content_of_any_bytes_is_kept(read):
    def make(root):
        write(root / "a/x.yaml", bytes(range(256)) + b"\r\n\n")

    assert contents(read(make)) == {"a/x.yaml": bytes(range(256)) + b"\r\n\n"}


def test_an_empty_tree_has_nothing(read):
    tree = read()
    assert (tree.files, tree.folders) == ((), ())


def test_the_revision_is_the_commit_where_nothing_else_is_there(tmp_path):
    repository = Repository(tmp_path / "repository")
    write(repository.desired / "a/x.yaml")
    committed = from_commit(repository).read()
    assert committed == from_folder(repository).read()
    assert committed.revision == repository.git("rev-parse", "HEAD")
