"""Folders of templates: every entry is a template, is ignored by its name, or is an error."""

import os
from pathlib import Path

import pytest

from reconcile.adapters.sources.directory import MAX_FILE_BYTES, read_templates
from reconcile.core.errors import SourceError
from tests.adapters.sources.repositories import Repository, hide, write


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


@pytest.fixture
def own(tmp_path):
    """Read a folder of the user's own templates only."""
    (tmp_path / "shipped").mkdir()
    (tmp_path / "own").mkdir()
    return lambda: read_templates(tmp_path / "shipped", tmp_path / "own")


def test_a_template_that_is_not_text_is_an_error(tmp_path, own):
    (tmp_path / "own/odd.yaml.j2").write_bytes(b"\xff")
    with pytest.raises(SourceError, match=r"odd\.yaml\.j2: .*must be UTF-8"):
        own()


def test_a_template_with_a_name_that_is_not_utf_8_is_an_error(tmp_path, own):
    write(tmp_path / "own/\udcff.yaml.j2")
    with pytest.raises(SourceError, match="its name and its content must be UTF-8"):
        own()


@pytest.mark.parametrize(
    "name", ["pvc.yaml", "pvc.yaml.jinja", "pvc", ".pvc.yaml.j2", "deep/pvc.yaml.j2"]
)
def test_an_entry_that_may_have_been_a_template_is_an_error(tmp_path, own, name):
    """What it rendered would otherwise be deleted."""
    write(tmp_path / "own" / name)
    with pytest.raises(SourceError, match="is not read: templates are files directly in the"):
        own()


@pytest.mark.parametrize("name", ["README.md", ".gitkeep", ".github/x.j2"])
def test_documentation_and_hidden_entries_are_no_templates(tmp_path, own, name):
    write(tmp_path / "own/pvc.yaml.j2", "text")
    write(tmp_path / "own" / name)
    assert own().keys() == {"pvc.yaml.j2"}


def test_a_folder_without_templates_is_an_error(tmp_path, own):
    """What the templates rendered would otherwise be deleted."""
    write(tmp_path / "own/README.md")
    with pytest.raises(SourceError, match=r"own: has no templates: name the folder"):
        own()


def test_a_template_in_any_case_is_read(tmp_path, own):
    write(tmp_path / "own/PVC.YAML.J2")
    assert own().keys() == {"PVC.YAML.J2"}


def make_large(path):
    write(path, "#" * (MAX_FILE_BYTES + 1))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "is not a regular file"),
        (Path.mkdir, "is not a regular file"),
        (make_large, "larger than 1 MiB"),
        (lambda path: path.symlink_to("/dev/zero"), "leaves the tree"),
        (lambda path: path.symlink_to("/etc/hostname"), "leaves the tree"),
        (lambda path: path.symlink_to("."), "link to a folder"),
        (lambda path: path.symlink_to("x.yaml.j2"), "cannot be read: Too many levels"),
        (lambda path: path.symlink_to("nothing"), "cannot be read: No such file"),
    ],
)
def test_a_template_is_a_regular_file_of_limited_size(tmp_path, own, make, said):
    make(tmp_path / "own/x.yaml.j2")
    with pytest.raises(SourceError, match=rf"x\.yaml\.j2: .*{said}"):
        own()


def test_a_template_in_a_git_work_tree_is_never_a_link(tmp_path, own):
    Repository(tmp_path)
    write(tmp_path / "own/_a.j2")
    (tmp_path / "own/b.yaml.j2").symlink_to("_a.j2")
    with pytest.raises(SourceError, match=r"b\.yaml\.j2: is a link in a git work tree"):
        own()


def test_a_folder_of_templates_is_not_a_link_of_a_commit(tmp_path, own):
    repository = Repository(tmp_path)
    (tmp_path / "own").rmdir()
    (tmp_path / "own").symlink_to("desired")
    repository.commit()
    with pytest.raises(SourceError, match="own is a link in a git work tree"):
        own()


def test_a_template_that_the_work_tree_lacks_is_an_error(tmp_path, own):
    repository = Repository(tmp_path)
    write(tmp_path / "own/pvc.yaml.j2", "text")
    write(tmp_path / "own/README.md", "text")
    repository.commit()
    hide(repository, "--skip-worktree", "own/README.md")
    assert own() == {"pvc.yaml.j2": "text"}
    hide(repository, "--skip-worktree", "own/pvc.yaml.j2")
    with pytest.raises(SourceError, match=r"pvc\.yaml\.j2: is in the index of git, but not in"):
        own()


def test_shipped_templates_may_be_links(tmp_path, own):
    """Some installers link the files of packages into their cache."""
    write(tmp_path / "cache/pod.yaml.j2", "text")
    (tmp_path / "shipped/pod.yaml.j2").symlink_to(tmp_path / "cache/pod.yaml.j2")
    write(tmp_path / "own/pvc.yaml.j2", "text")
    assert own() == {"pod.yaml.j2": "text", "pvc.yaml.j2": "text"}


def test_a_missing_folder_of_templates_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="nowhere"):
        read_templates(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="nowhere"):
        read_templates(tmp_path, tmp_path / "nowhere")
