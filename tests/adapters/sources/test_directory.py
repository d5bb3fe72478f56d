"""A folder of session files: all of it is read, and nothing outside of it."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from reconcile.adapters.sources.directory import (
    MAX_FILE_BYTES,
    DirectorySource,
    ReadLimits,
)
from reconcile.adapters.sources.git import IS_LINK
from reconcile.core.errors import SourceError
from reconcile.core.spec.layout import REFUSED_NAME
from reconcile.engine.desired import DesiredBuilder
from tests.adapters.sources.repositories import Repository, hide, write
from tests.session_files import SHIPPED, defaults_text, session_text

DEEP = 1200
"""More levels than Python's stack allows; the system still allows the path."""


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "desired"
    (folder / "team-a").mkdir(parents=True)
    return folder


def read(root):
    return DirectorySource(root).read()


def files(root):
    return {file.path: file.problem or file.content for file in read(root).files}


def problem(root):
    """What is wrong with the only file."""
    (file,) = read(root).files
    assert (file.content, file.digest) == (b"", "")
    return file.problem


def test_files_come_in_the_order_of_their_paths_with_their_content(root):
    for name in ("team-b/a.yaml", "policy.yaml", "team-a/sub/c.yml", "team-a/b.yaml"):
        write(root / name, name)
    tree = read(root)
    assert [(file.path, file.content) for file in tree.files] == [
        (name, name.encode())
        for name in ("policy.yaml", "team-a/b.yaml", "team-a/sub/c.yml", "team-b/a.yaml")
    ]
    assert len({file.digest for file in tree.files}) == 4


def test_equal_contents_have_equal_digests(root):
    write(root / "team-a/a.yaml")
    write(root / "team-a/b.yaml")
    assert len({file.digest for file in read(root).files}) == 1


def test_empty_folders_are_namespaces_too(root):
    (root / "team-b").mkdir()
    write(root / "team-c/a.yaml")
    assert read(root).folders == ("team-a", "team-b", "team-c")


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.yaml",
        ".github/a/a.yaml",
        ".github/a",
        "team-a/.x/a",
        "team-a/README.md",
        "Makefile",
    ],
)
def test_hidden_entries_and_documentation_are_not_read(root, name):
    write(root / name)
    assert files(root) == {}
    assert read(root).folders == ("team-a",)


@pytest.mark.parametrize("name", ["a.YAML", "a.Yml", "a.json", "sub/a.yml"])
def test_every_suffix_of_yaml_is_read(root, name):
    write(root / "team-a" / name)
    assert files(root) == {f"team-a/{name}": b"a: 1\n"}


@pytest.mark.parametrize("name", ["a", "a.txt", "a.yaml.bak", ".a.yaml", ".x/a.yaml"])
def test_another_name_is_a_problem_since_it_would_read_as_deleted(root, name):
    write(root / "team-a" / name)
    assert problem(root) == REFUSED_NAME


def test_a_git_repository_in_the_folder_is_a_problem(root):
    write(root / "team-a/sub/.git/HEAD")
    write(root / "team-a/sub/a.yaml")
    assert "is a git repository of its own" in files(root)["team-a/sub"]
    assert files(root).keys() == {"team-a/sub"}


def test_the_size_of_all_files_is_limited(root, monkeypatch):
    monkeypatch.setattr("reconcile.adapters.sources.directory.READ_LIMITS", ReadLimits(99, 10))
    write(root / "team-a/a.yaml", "12345678")
    assert len(files(root)) == 1
    write(root / "team-a/b.yaml", "123")
    with pytest.raises(SourceError, match="MiB of files"):
        read(root)


def test_the_number_of_entries_is_limited(root, monkeypatch):
    monkeypatch.setattr("reconcile.adapters.sources.directory.MAX_ENTRIES", 2)
    write(root / "team-a/.a")
    assert files(root) == {}
    write(root / "team-a/.b")
    with pytest.raises(SourceError, match="more than 2 files"):
        read(root)


def test_a_tree_may_itself_be_a_link(root, tmp_path):
    write(root / "team-a/a.yaml")
    link = tmp_path / "current"
    link.symlink_to(root)
    assert files(link) == {"team-a/a.yaml": b"a: 1\n"}


@pytest.mark.parametrize("make", [Path, write])
def test_a_tree_that_is_no_folder_is_an_error(tmp_path, make):
    make(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="name a folder of session files"):
        read(tmp_path / "nowhere")


# Links


def test_a_link_within_the_tree_is_followed(root):
    write(root / "team-a/a.yaml", "kept")
    (root / "team-a/b.yaml").symlink_to("a.yaml")
    assert files(root)["team-a/b.yaml"] == b"kept"


def test_a_config_map_mount_is_read(root):
    """The kubelet swaps a whole state by one link, `..data`, that all others go through."""
    write(root / "team-a/..2026_01_31/a.yaml", "kept")
    (root / "team-a/..data").symlink_to("..2026_01_31")
    (root / "team-a/a.yaml").symlink_to("..data/a.yaml")
    assert files(root) == {"team-a/a.yaml": b"kept"}


@pytest.mark.parametrize("target", ["../../outside.yaml", "/etc/passwd"])
def test_a_link_that_leaves_the_tree_is_not_followed(root, tmp_path, target):
    write(tmp_path / "outside.yaml", "secret")
    (root / "team-a/a.yaml").symlink_to(target)
    assert problem(root) == "is a link that leaves the tree: put the file itself here"


def test_a_link_through_a_link_that_leaves_the_tree_is_not_followed(root, tmp_path):
    write(tmp_path / "outside/a.yaml", "secret")
    (root / ".link").symlink_to(tmp_path / "outside")
    (root / "team-a/a.yaml").symlink_to("../.link/a.yaml")
    assert problem(root).startswith("is a link that leaves the tree")


def test_a_sibling_folder_with_a_longer_name_is_outside(root, tmp_path):
    write(tmp_path / "desired-other/a.yaml", "secret")
    (root / "team-a/a.yaml").symlink_to(tmp_path / "desired-other/a.yaml")
    assert problem(root).startswith("is a link that leaves the tree")


def test_a_broken_link_is_reported(root):
    (root / "team-a/a.yaml").symlink_to("nothing")
    assert problem(root) == "cannot be read: No such file or directory"


def test_a_link_to_itself_is_reported(root):
    (root / "team-a/a.yaml").symlink_to("a.yaml")
    assert problem(root) == "cannot be read: Too many levels of symbolic links"


@pytest.mark.parametrize("name", ["team-b", "team-a/sub.yaml"])
def test_a_link_to_a_folder_is_not_followed(root, name):
    write(root / "team-a/a.yaml")
    (root / name).symlink_to(root / "team-a", target_is_directory=True)
    assert files(root)[name] == "is a link to a folder, which is not followed: make it a folder"


def test_a_link_in_a_git_work_tree_is_never_followed(root, tmp_path):
    """It may lead to what the checkout has next to the files, such as the token in `.git`."""
    Repository(tmp_path)
    write(root / "team-a/a.yaml")
    (root / "team-a/b.yaml").symlink_to("a.yaml")
    (root / "team-b").symlink_to("team-a")
    (root / ".hidden").symlink_to("team-a")
    (root / "README.md").symlink_to("team-a/a.yaml")
    assert files(root) == {"team-a/a.yaml": b"a: 1\n", "team-a/b.yaml": IS_LINK, "team-b": IS_LINK}
    assert read(root).folders == ("team-a",)


def test_a_link_to_a_folder_outside_is_reported(root, tmp_path):
    (tmp_path / "outside").mkdir()
    (root / "team-b").symlink_to(tmp_path / "outside")
    assert problem(root).startswith("is a link that leaves the tree")


def test_a_folder_that_is_a_link_stops_pruning_everywhere(root, tmp_path):
    write(root / "defaults.yaml", defaults_text())
    write(root / "team-a/one.yaml", session_text("one"))
    (tmp_path / "outside").mkdir()
    (root / "team-b").symlink_to(tmp_path / "outside")
    desired = DesiredBuilder(SHIPPED).build(read(root))
    assert len(desired.problems) == 1
    assert "" in desired.unreadable


# Files that are not regular or too large


def test_a_file_over_the_limit_is_reported(root):
    write(root / "team-a/a.yaml", "a" * (MAX_FILE_BYTES + 1))
    assert problem(root) == "is larger than 1 MiB: split it"


def test_a_file_at_the_limit_is_read(root):
    write(root / "team-a/a.yaml", "a" * MAX_FILE_BYTES)
    assert len(files(root)["team-a/a.yaml"]) == MAX_FILE_BYTES


def test_a_folder_with_the_name_of_a_file_is_a_folder(root):
    write(root / "team-a/a.yaml/b.yaml")
    assert files(root) == {"team-a/a.yaml/b.yaml": b"a: 1\n"}


def test_a_pipe_is_not_waited_for(root):
    os.mkfifo(root / "team-a/a.yaml")
    assert problem(root) == "is not a regular file: remove it"


def test_a_device_is_not_read(root):
    (root / "team-a/a.yaml").symlink_to("/dev/zero")
    assert problem(root).startswith("is a link that leaves the tree")


def test_an_unreadable_file_is_reported(root):
    path = write(root / "team-a/a.yaml")
    path.chmod(0)
    with as_another_user(root):
        assert problem(root) == "cannot be read: Permission denied"


def test_an_unreadable_folder_is_reported(root):
    write(root / "team-a/a.yaml")
    (root / "team-a").chmod(0)
    with as_another_user(root):
        assert problem(root) == "cannot be read: Permission denied"
    (root / "team-a").chmod(0o700)


class as_another_user:  # noqa: N801 - reads as a context
    """Give up root's rights for a while: root may read everything."""

    def __init__(self, root):
        self._other_uid = 65534
        for folder in (root, *root.parents):
            if os.geteuid() == 0 and folder.is_relative_to(tempfile.gettempdir()):
                folder.chmod(folder.stat().st_mode | 0o755)

    def __enter__(self):
        if os.geteuid() == 0:
            os.seteuid(self._other_uid)

    def __exit__(self, *_):
        if os.geteuid() == self._other_uid:
            os.seteuid(0)


def test_folders_nested_beyond_measure_are_no_defect(root, monkeypatch):
    monkeypatch.chdir(root / "team-a")
    for _ in range(DEEP):
        Path("d").mkdir()
        os.chdir("d")
    monkeypatch.chdir(root)
    try:
        assert files(root) == {}
    finally:
        # What cleans up after tests would stumble as well.
        subprocess.run(["rm", "-r", root / "team-a"], check=True)


def test_names_that_are_not_utf_8_are_read(root):
    write(root / "defaults.yaml", defaults_text())
    write(root / "team-a/\udcff.yaml", session_text("one"))
    assert list(files(root)) == ["defaults.yaml", "team-a/\udcff.yaml"]
    assert len(DesiredBuilder(SHIPPED).build(read(root)).sessions) == 1


# Links on the way to the folder


@pytest.fixture
def repository(root, tmp_path):
    write(root / "team-a/a.yaml")
    return Repository(tmp_path)


def test_a_folder_that_is_a_link_of_a_commit_is_refused(repository, tmp_path):
    (tmp_path / "link").symlink_to("desired")
    repository.commit()
    with pytest.raises(SourceError, match=r"link is a link in a git work tree"):
        read(tmp_path / "link")


def test_a_folder_below_a_link_of_a_commit_is_refused(repository, tmp_path):
    """Also where the link leads into another repository, whose folders it does not track."""
    other = Repository(tmp_path / "other")
    write(other.desired / "team-a/a.yaml", "secret")
    other.commit()
    (tmp_path / "link").symlink_to("other")
    repository.git("add", "link")
    repository.git("commit", "-q", "-m", "link")
    with pytest.raises(SourceError, match=r"link is a link in a git work tree"):
        read(tmp_path / "link/desired")


def test_a_link_that_no_commit_has_is_followed(repository, tmp_path):
    """As the one that git-sync makes in its root, which is a repository too."""
    repository.commit()
    (tmp_path / "current").symlink_to("desired")
    assert files(tmp_path / "current") == {"team-a/a.yaml": b"a: 1\n"}


# What the work tree lacks


@pytest.mark.parametrize("mark", ["--skip-worktree", "--assume-unchanged"])
@pytest.mark.parametrize("name", ["policy.yaml", "team-b/b.yaml", "team-b/b.txt"])
def test_a_file_that_git_does_not_report_as_deleted_is_an_error(repository, root, mark, name):
    write(root / name)
    repository.commit()
    hide(repository, mark, f"desired/{name}")
    with pytest.raises(SourceError, match=rf"desired/{name} is in the index of git, but not in"):
        read(root)


def test_files_that_are_not_read_may_be_missing(repository, root):
    for name in ("team-a/README.md", ".github/x.yaml", "../other/x.yaml"):
        write(root / name)
    repository.commit()
    repository.git("sparse-checkout", "set", "--no-cone", "/desired/team-a/a.yaml")
    assert files(root) == {"team-a/a.yaml": b"a: 1\n"}


def test_a_file_outside_of_a_sparse_checkout_is_read_if_it_is_there(repository, root):
    repository.commit()
    repository.git("update-index", "--skip-worktree", "desired/team-a/a.yaml")
    assert files(root) == {"team-a/a.yaml": b"a: 1\n"}


@pytest.mark.parametrize("index", ["--sparse-index", "--no-sparse-index"])
def test_what_a_sparse_checkout_leaves_out_is_an_error(repository, root, index):
    write(root / "team-b/b.yaml")
    write(root / "team-b/c.yaml")
    repository.commit()
    repository.git("sparse-checkout", "set", "--cone", index, "desired/team-a")
    assert not (root / "team-b").exists()
    with pytest.raises(SourceError, match=r"team-b/b\.yaml \(and 1 more files\) is in the index"):
        read(root)


def test_a_removed_file_is_removed(repository, root):
    write(root / "team-a/b.yaml")
    repository.commit()
    (root / "team-a/b.yaml").unlink()
    assert files(root).keys() == {"team-a/a.yaml"}


@pytest.mark.parametrize("is_checked_out", [True, False])
def test_a_submodule_is_a_problem(repository, root, is_checked_out):
    sub = Repository(root / "sub")
    write(sub.top / "a.yaml")
    sub.commit()
    repository.commit()
    if not is_checked_out:
        shutil.rmtree(root / "sub")
    assert "a git repository of its own" in files(root)["sub"]
    assert read(root).folders == ("sub", "team-a")
    assert files(root).keys() == {"sub", "team-a/a.yaml"}


def test_an_unreadable_index_is_an_error(repository, root, tmp_path):
    repository.commit()
    (tmp_path / ".git/index").write_bytes(b"damaged")
    with pytest.raises(SourceError, match="cannot list its files"):
        read(root)
