"""A folder at a commit: which commit, which files, and programs that git must not run."""

import os
import shutil

import pytest

from reconcile.adapters.sources.directory import DirectorySource, ReadLimits
from reconcile.adapters.sources.git import (
    find_checkout,
    has_diverged,
    resolve_base,
    resolve_commit,
)
from reconcile.adapters.sources.git_tree import (
    GitFolder,
    GitTreeSource,
    blob_id,
    files_by_path,
    read_templates_at,
)
from reconcile.core.errors import SourceError
from tests.adapters.sources.repositories import Repository


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path / "repository")
    (made.desired / "a").mkdir()
    (made.desired / "a/x.yaml").write_text("x: 1\n")
    (made.desired / "a/y.yaml").write_text("y: 1\n")
    made.commit("first")
    return made


def folder_at(repository, name="HEAD", folder=None):
    checkout = find_checkout(folder or repository.desired)
    return GitFolder(checkout.top, resolve_commit(checkout, name), checkout.prefix)


def contents(tree):
    return {file.path: file.content for file in tree.files}


# Which commit


def test_every_name_that_git_knows_is_a_commit(repository):
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "-a", "-m", "tagged", "v1")
    repository.git("branch", "side")
    repository.commit("second")
    checkout = find_checkout(repository.desired)
    for name in ("HEAD~1", "v1", "side", first, first[:9], "HEAD^{/first}"):
        assert resolve_commit(checkout, name) == first


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nope",
        "HEAD:desired",
        "-h",
        "--all",
        "--output=/tmp/x",
        "HEAD~9",
        "a\nb",
        "a\0b",
    ],
)
def test_an_unknown_commit_is_an_error_with_advice(repository, name):
    with pytest.raises(SourceError, match="is not a commit here: name a branch, a tag or a commit"):
        resolve_commit(find_checkout(repository.desired), name)


def diverged(repository):
    """A branch, and a main branch that went on; returns the commit from which the branch began."""
    began = repository.git("rev-parse", "HEAD")
    repository.git("branch", "-M", "main")
    repository.git("checkout", "-q", "-b", "branch")
    repository.commit("of the branch")
    repository.git("checkout", "-q", "main")
    repository.commit("of main")
    repository.git("checkout", "-q", "branch")
    return began


@pytest.mark.parametrize("name", ["main...HEAD", "main...", "main...branch", "main~0...HEAD"])
def test_three_dots_mean_where_the_branch_began(repository, name):
    began = diverged(repository)
    checkout = find_checkout(repository.desired)
    assert resolve_base(checkout, name) == began
    assert resolve_base(checkout, "main") == repository.git("rev-parse", "main")


def test_the_base_moves_when_the_branch_merges_the_other_one(repository):
    diverged(repository)
    repository.git("merge", "-q", "-m", "merge", "main")
    main = repository.git("rev-parse", "main")
    assert resolve_base(find_checkout(repository.desired), "main...HEAD") == main


def test_branches_that_were_merged_in_both_directions_have_a_base(repository):
    diverged(repository)
    branch, main = (repository.git("rev-parse", name) for name in ("branch", "main"))
    repository.git("merge", "-q", "-m", "main into branch", main)
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "-m", "branch into main", branch)
    repository.git("checkout", "-q", "branch")
    assert resolve_base(find_checkout(repository.desired), "main...HEAD") in {branch, main}


def test_only_what_is_checked_out_is_compared(repository):
    diverged(repository)
    with pytest.raises(SourceError, match=r"check out `main`, or use `branch\.\.\.HEAD`"):
        resolve_base(find_checkout(repository.desired), "branch...main")


def test_two_dots_are_no_commit(repository):
    with pytest.raises(SourceError, match=r"is not a commit here: it is a range: use `REV\.\.\."):
        resolve_base(find_checkout(repository.desired), "HEAD..HEAD")


def test_without_common_history_there_is_no_base(repository):
    repository.git("branch", "-M", "main")
    repository.git("checkout", "-q", "--orphan", "other")
    repository.commit("unrelated")
    with pytest.raises(SourceError, match="no common ancestor here: name one commit"):
        resolve_base(find_checkout(repository.desired), "main...HEAD")


def test_a_shallow_clone_may_lack_the_base(repository, tmp_path):
    diverged(repository)
    clone = tmp_path / "clone"
    source = f"file://{repository.top}"
    repository.git("clone", "-q", "--depth=1", "--no-single-branch", source, str(clone))
    checkout = find_checkout(clone / "desired")
    with pytest.raises(SourceError, match=r"no common ancestor here: this clone is shallow"):
        resolve_base(checkout, "origin/main...HEAD")
    assert not has_diverged(checkout, resolve_base(checkout, "origin/main"))


def test_a_revision_that_is_not_part_of_the_history_has_diverged(repository):
    began = diverged(repository)
    checkout = find_checkout(repository.desired)
    assert has_diverged(checkout, repository.git("rev-parse", "main"))
    assert not has_diverged(checkout, began)
    assert not has_diverged(checkout, repository.git("rev-parse", "HEAD"))


def test_a_shallow_clone_gets_the_advice_to_fetch(repository, tmp_path):
    repository.commit("second")
    clone = tmp_path / "clone"
    repository.git("clone", "-q", "--depth=1", f"file://{repository.top}", str(clone))
    checkout = find_checkout(clone / "desired")
    assert resolve_commit(checkout, "HEAD")
    with pytest.raises(SourceError, match=r"shallow: .*git fetch --depth"):
        resolve_commit(checkout, "HEAD~1")


def test_outside_of_git_there_is_nothing_to_compare_with(tmp_path):
    with pytest.raises(SourceError, match="run this in a clone"):
        find_checkout(tmp_path)


def test_without_git_there_is_nothing_to_compare_with(repository, monkeypatch):
    monkeypatch.setenv("PATH", str(repository.top))
    with pytest.raises(SourceError, match="no git program"):
        find_checkout(repository.desired)


def test_a_bare_repository_has_no_work_tree(repository, tmp_path):
    repository.git("clone", "-q", "--bare", str(repository.top), str(tmp_path / "bare"))
    with pytest.raises(SourceError, match="no git work tree"):
        find_checkout(tmp_path / "bare")


def test_the_top_of_a_repository_is_a_folder_too(repository):
    assert find_checkout(repository.top).prefix == ""
    tree = GitTreeSource(folder_at(repository, folder=repository.top)).read()
    assert contents(tree).keys() == {"desired/a/x.yaml", "desired/a/y.yaml"}


# What is read


def test_the_commit_is_read_and_not_what_is_there_now(repository):
    (repository.desired / "a/x.yaml").write_text("x: 2\n")
    (repository.desired / "a/new.yaml").write_text("new\n")
    (repository.desired / "a/y.yaml").unlink()
    tree = GitTreeSource(folder_at(repository)).read()
    assert contents(tree) == {"a/x.yaml": b"x: 1\n", "a/y.yaml": b"y: 1\n"}


def test_a_known_file_is_not_read_again(repository):
    (repository.desired / "a/x.yaml").write_text("x: 2\n")
    known = files_by_path(DirectorySource(repository.desired).read().files)
    tree = GitTreeSource(folder_at(repository), known).read()
    x, y = tree.files
    assert x.content == b"x: 1\n"
    assert y is known["a/y.yaml"]


def test_equal_content_under_two_names_is_read_once(repository):
    (repository.desired / "a/z.yaml").write_text("x: 1\n")
    repository.commit()
    (repository.desired / "a/z.yaml").write_text("z\n")
    known = files_by_path(DirectorySource(repository.desired).read().files)
    tree = GitTreeSource(folder_at(repository), known).read()
    assert contents(tree)["a/z.yaml"] == contents(tree)["a/x.yaml"] == b"x: 1\n"


def test_a_folder_that_is_not_there_is_empty(repository):
    (repository.top / "later").mkdir()
    tree = GitTreeSource(folder_at(repository, folder=repository.top / "later")).read()
    assert (tree.files, tree.folders) == ((), ())


def test_a_path_that_is_not_a_folder_at_the_commit_is_an_error(repository):
    shutil.rmtree(repository.desired)
    repository.desired.write_text("a file")
    repository.commit()
    repository.desired.unlink()
    repository.desired.mkdir()
    with pytest.raises(SourceError, match="is not a folder: name a folder"):
        GitTreeSource(folder_at(repository)).read()


def test_a_path_through_a_link_at_the_commit_is_an_error(repository):
    """An old side that is empty would show deletes as nothing."""
    (repository.top / "real").mkdir()
    shutil.move(repository.desired, repository.top / "real/desired")
    (repository.top / "link").symlink_to("real")
    repository.commit()
    (repository.top / "link").unlink()
    (repository.top / "link/desired").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"link at .*: is a link in a git work tree"):
        GitTreeSource(folder_at(repository, folder=repository.top / "link/desired")).read()


def test_too_many_entries_and_too_much_content_are_errors(repository, monkeypatch):
    monkeypatch.setattr("reconcile.adapters.sources.git_tree.READ_LIMITS", ReadLimits(99, 9))
    with pytest.raises(SourceError, match="MiB of files"):
        GitTreeSource(folder_at(repository)).read()
    monkeypatch.setattr("reconcile.adapters.sources.git_tree.MAX_ENTRIES", 2)
    with pytest.raises(SourceError, match="more than 2 files"):
        GitTreeSource(folder_at(repository)).read()


def test_trees_that_the_clone_lacks_are_an_error(repository, tmp_path):
    """They do not count as a folder that does not exist, whose files would all be new."""
    repository.git("config", "uploadpack.allowFilter", "true")
    clone, origin = tmp_path / "clone", f"file://{repository.top}"
    repository.git("clone", "-q", "--no-checkout", "--filter=tree:0", origin, str(clone))
    (clone / "desired").mkdir()
    with pytest.raises(SourceError, match="cannot be listed: this clone lacks some content"):
        GitTreeSource(folder_at(repository, folder=clone / "desired")).read()


def test_ids_of_sha256_are_known(tmp_path):
    repository = Repository(tmp_path / "repository", "--object-format=sha256")
    (repository.desired / "x.yaml").write_text("x: 1\n")
    repository.commit()
    known = files_by_path(DirectorySource(repository.desired).read().files)
    (file,) = GitTreeSource(folder_at(repository), known).read().files
    assert file is known["x.yaml"]


@pytest.mark.parametrize("content", [b"", b"x: 1\n", bytes(range(256))])
def test_content_has_the_id_that_git_gives_it(repository, content):
    path = repository.top / "some"
    path.write_bytes(content)
    assert blob_id(content, 40) == repository.git("hash-object", "--no-filters", str(path))


def test_content_that_the_clone_lacks_is_an_error(repository):
    blob = blob_id(b"x: 1\n", 40)
    (repository.top / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(SourceError, match=r"lacks some content .*git fetch"):
        GitTreeSource(folder_at(repository)).read()


def test_a_partial_clone_fetches_nothing(repository, tmp_path):
    """What it lacks would be asked for at its origin, which a diff without a network must not."""
    repository.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    origin = f"file://{repository.top}"
    repository.git("clone", "-q", "--no-checkout", "--filter=blob:none", origin, str(clone))
    (clone / "desired").mkdir()
    with pytest.raises(SourceError, match="lacks some content"):
        GitTreeSource(folder_at(repository, folder=clone / "desired")).read()


# Templates


def test_templates_are_read_at_the_commit(repository):
    folder = repository.top / "templates"
    folder.mkdir()
    (folder / "x.yaml.j2").write_text("old")
    (folder / "README").write_text("no")
    repository.commit()
    (folder / "x.yaml.j2").write_text("new")
    assert read_templates_at(folder_at(repository, folder=folder)) == {"x.yaml.j2": "old"}
    assert read_templates_at(folder_at(repository, "HEAD~1", folder)) == {}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("deep/y.yaml.j2", "deep: is not read: templates are files directly"),
        ("pvc.yaml", "is not read: templates are files directly"),
        (".pvc.yaml.j2", "is not read: templates are files directly"),
        ("link.yaml.j2", "is a link in a git work tree"),
        ("link", "is a link in a git work tree"),
    ],
)
def test_an_entry_that_may_have_been_a_template_is_an_error(repository, name, said):
    path = repository.top / "templates" / name
    path.parent.mkdir(parents=True)
    if "link" in name:
        path.symlink_to("../.git/config")
    else:
        path.write_text("x")
    repository.commit()
    with pytest.raises(SourceError, match=said):
        read_templates_at(folder_at(repository, folder=repository.top / "templates"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (b"x.j2", b"\xff", "must be UTF-8"),
        (b"\xff.j2", b"x", "must be UTF-8"),
        (b"x.j2", b"#" * ((1 << 20) + 1), "larger than"),
    ],
)
def test_a_template_that_is_not_text_is_an_error(repository, name, content, said):
    folder = repository.top / "templates"
    folder.mkdir()
    (folder / os.fsdecode(name)).write_bytes(content)
    repository.commit()
    with pytest.raises(SourceError, match=said):
        read_templates_at(folder_at(repository, folder=folder))


# Programs that git must not run


@pytest.mark.parametrize(
    "settings",
    [
        {"core.fsmonitor": "{}"},
        {"core.hooksPath": "hooks"},
        {"filter.evil.smudge": "{}", "filter.evil.clean": "{}"},
        {"diff.evil.textconv": "{}"},
        {"alias.cat-file": "!{}"},
        {"core.pager": "{}", "pager.ls-tree": "true"},
    ],
)
def test_nothing_that_the_repository_configures_is_run(repository, tmp_path, settings):
    canary = tmp_path / "canary"
    for name, value in settings.items():
        repository.git("config", name, value.format(f"touch {canary}; cat"))
    (repository.top / ".gitattributes").write_text("* filter=evil diff=evil\n")
    tree = GitTreeSource(folder_at(repository)).read()
    assert len(tree.files) == 2
    assert not canary.exists()


def test_variables_of_a_hook_of_another_repository_are_ignored(repository, tmp_path, monkeypatch):
    other = Repository(tmp_path / "other")
    other.commit()
    monkeypatch.setenv("GIT_DIR", str(other.top / ".git"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.top / ".git/objects"))
    assert len(GitTreeSource(folder_at(repository)).read().files) == 2
