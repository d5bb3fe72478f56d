"""A folder of session files: all of it is read, and nothing outside of it."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from reconcile.adapters.sources.directory import MAX_FILE_BYTES, DirectorySource, read_templates
from reconcile.core.errors import SourceError
from reconcile.engine.desired import DesiredBuilder
from tests.session_files import SHIPPED, session_text

DEEP = 1200
"""More levels than Python's stack allows; the system still allows the path."""


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "desired"
    (folder / "team-a").mkdir(parents=True)
    return folder


def write(path, text="a: 1\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


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
    "name", [".hidden.yaml", ".git/a.yaml", "team-a/.x/a.yaml", "team-a/README.md", "team-a/a.json"]
)
def test_what_is_hidden_and_what_is_no_yaml_is_not_read(root, name):
    write(root / name)
    assert files(root) == {}
    assert read(root).folders == ("team-a",)


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


@pytest.mark.parametrize("name", ["team-b", "team-a/sub", "team-a/sub.yaml"])
def test_a_link_to_a_folder_is_not_followed(root, name):
    write(root / "team-a/a.yaml")
    (root / name).symlink_to(root / "team-a", target_is_directory=True)
    assert files(root)[name] == "is a link to a folder, which is not followed: make it a folder"


def test_a_link_to_a_folder_outside_is_reported(root, tmp_path):
    (tmp_path / "outside").mkdir()
    (root / "team-b").symlink_to(tmp_path / "outside")
    assert problem(root).startswith("is a link that leaves the tree")


def test_a_folder_that_is_a_link_stops_pruning_everywhere(root, tmp_path):
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
    write(root / "team-a/\udcff.yaml", session_text("one"))
    assert list(files(root)) == ["team-a/\udcff.yaml"]
    assert len(DesiredBuilder(SHIPPED).build(read(root)).sessions) == 1


# Templates


def test_templates_of_a_later_folder_replace_and_add(tmp_path):
    write(tmp_path / "a/pod.yaml.j2", "1")
    write(tmp_path / "a/service.yaml.j2", "1")
    write(tmp_path / "b/pod.yaml.j2", "2")
    write(tmp_path / "b/_shared.j2", "2")
    write(tmp_path / "b/README.md", "2")
    assert read_templates(tmp_path / "a", tmp_path / "b") == {
        "pod.yaml.j2": "2",
        "service.yaml.j2": "1",
        "_shared.j2": "2",
    }


@pytest.mark.parametrize("content", [b"\xff", None])
def test_an_error_names_a_template_that_is_not_text(tmp_path, content):
    path = tmp_path / "odd.yaml.j2"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=r"odd\.yaml\.j2"):
        read_templates(tmp_path)


def test_a_missing_folder_of_templates_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="nowhere"):
        read_templates(tmp_path / "nowhere")


def test_a_template_with_a_name_that_is_not_utf_8_is_an_error(tmp_path):
    write(tmp_path / "\udcff.yaml.j2")
    with pytest.raises(SourceError, match="its name and its content must be UTF-8"):
        read_templates(tmp_path)
