"""The `Source` port: the same content in a folder and at a commit."""

import os
from pathlib import Path

import pytest

from reconcile.adapters.sources.directory import MAX_FILE_BYTES, DirectorySource
from reconcile.adapters.sources.git import (
    IS_LINK,
    IS_SUBMODULE,
    find_checkout,
    resolve_commit,
)
from reconcile.adapters.sources.git_tree import GitFolder, GitTreeSource
from reconcile.core.spec.layout import REFUSED_NAME
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


def test_hidden_entries_and_documentation_are_ignored(read):
    def make(root):
        for name in (
            ".hidden/x.txt",
            ".hidden/a/x.yaml",
            ".x.yaml",
            "a/.keep",
            "a/README.md",
            "Makefile",
        ):
            write(root / name)

    tree = read(make)
    assert tree.files == ()
    assert tree.folders == ("a",)


def test_yaml_in_a_hidden_folder_is_read_since_it_may_be_a_session_under_another_name(read):
    def make(root):
        write(root / ".team-a/x.yaml")
        write(root / ".git-not/x.JSON")

    tree = read(make)
    assert contents(tree).keys() == {".team-a/x.yaml", ".git-not/x.JSON"}
    assert tree.folders == ()


def test_every_other_name_is_read_or_has_a_problem(read):
    refused = {"a/.x.yaml", "a/.b/x.yaml", "a/x.txt", "a/yaml", "x.yaml.bak", ".policy.yaml"}
    refused |= {"a/..x.yaml", "a/.#x.yaml", "a/..old/x.yaml"}

    def make(root):
        for name in ("a/X.YAML", "a/x.Yml", "a/x.json"):
            write(root / name)
        for name in refused:
            write(root / name)
        (root / "a/.#y.yaml").symlink_to("user@host.123")

    tree = read(make)
    assert contents(tree).keys() == {"a/X.YAML", "a/x.Yml", "a/x.json"}
    assert problems(tree) == dict.fromkeys(refused, REFUSED_NAME)


@pytest.mark.parametrize(
    "target", ["x.yaml", "../b", "../../outside.yaml", "/etc/hostname", "missing.yaml", "link.yaml"]
)
@pytest.mark.parametrize("name", ["a/link.yaml", "link.yaml", "a/link", "team", "policy.yaml"])
def test_a_link_is_never_followed(read, name, target):
    def make(root):
        write(root / "a/x.yaml")
        write(root / "b/y.yaml")
        write(root.parent / "outside.yaml")
        (root / name).symlink_to(target)

    tree = read(make)
    assert problems(tree) == {name: IS_LINK}
    assert contents(tree).keys() == {"a/x.yaml", "b/y.yaml"}
    assert tree.folders == ("a", "b")


def test_a_submodule_has_a_problem(read):
    def make(root):
        write(root / "a/x.yaml")
        Repository(root / "sub").commit()

    tree = read(make)
    assert problems(tree) == {"sub": IS_SUBMODULE}
    assert contents(tree).keys() == {"a/x.yaml"}
    assert tree.folders == ("a", "sub")


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
