"""The commit that a folder is at."""

import os
import subprocess
from pathlib import Path

import pytest

from reconcile.adapters.sources.git import find_checkout, find_missing_files, read_revision
from reconcile.cli.main import run_reconcile_cli
from reconcile.core.errors import SourceError
from tests.adapters.sources.repositories import embed_bare_repository
from tests.session_files import session_text


def git(folder, *arguments):
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }
    who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    command = ["git", *who, "-c", "safe.directory=*", "-C", str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    (folder / "desired").mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "desired/a.yaml").write_text("a: 1\n")
    (folder / "other.txt").write_text("1")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def head(repository):
    return git(repository, "rev-parse", "HEAD")


def test_a_clean_folder_is_at_its_commit(repository):
    assert read_revision(repository / "desired") == head(repository)
    assert read_revision(repository) == head(repository)


def test_changes_elsewhere_are_ignored(repository):
    (repository / "other.txt").write_text("2")
    assert read_revision(repository / "desired") == head(repository)
    assert read_revision(repository) == f"{head(repository)}-dirty"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a.yaml").write_text("a: 2\n"),
        lambda folder: (folder / "a.yaml").unlink(),
        lambda folder: (folder / "b.yaml").write_text("b: 1\n"),
        lambda folder: [(folder / "new").mkdir(), (folder / "new/b.yaml").write_text("b: 1\n")],
    ],
)
def test_what_is_not_as_committed_makes_it_dirty(repository, change):
    change(repository / "desired")
    assert read_revision(repository / "desired") == f"{head(repository)}-dirty"


def test_what_is_staged_makes_it_dirty(repository):
    (repository / "desired/b.yaml").write_text("b: 1\n")
    git(repository, "add", ".")
    assert read_revision(repository / "desired") == f"{head(repository)}-dirty"


def test_a_new_commit_is_another_revision(repository):
    before = read_revision(repository)
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    assert read_revision(repository) not in {before, ""}


def test_outside_of_git_there_is_no_revision(tmp_path):
    assert read_revision(tmp_path) == ""


def test_before_the_first_commit_there_is_no_revision(tmp_path):
    git(tmp_path, "init", "-q")
    assert read_revision(tmp_path) == ""


def test_without_git_there_is_no_revision(repository, monkeypatch):
    monkeypatch.setenv("PATH", str(repository))
    assert read_revision(repository) == ""


def test_a_work_tree_of_its_own_is_known(repository, tmp_path):
    git(repository, "worktree", "add", "-q", str(tmp_path / "second"))
    assert read_revision(tmp_path / "second/desired") == head(repository)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of files")
def test_a_checkout_of_another_user_is_accepted(repository):
    for path in (repository, *repository.rglob("*")):
        os.chown(path, 65534, 65534)
    assert read_revision(repository / "desired") == head(repository)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of files")
@pytest.mark.parametrize("form", ["desired", "./desired", "../repository/desired", "{top}/desired"])
def test_a_checkout_of_another_user_is_compared_by_any_path(repository, monkeypatch, capfd, form):
    """A container job runs as root in the checkout of the runner's user, and names `desired`."""
    (repository / "desired/a.yaml").unlink()
    (repository / "desired/team-a").mkdir()
    (repository / "desired/team-a/one.yaml").write_text(session_text("one"))
    git(repository, "add", "--all")
    git(repository, "commit", "-q", "-m", "second")
    for path in (repository, *repository.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    monkeypatch.chdir(repository)
    monkeypatch.setenv("HOME", str(repository.parent))
    folder = form.format(top=repository)
    assert run_reconcile_cli(["diff", folder, "--against=HEAD"]) == 0, capfd.readouterr()
    assert find_checkout(Path(folder)).prefix == "desired"


def test_a_repository_that_git_refuses_is_reported_with_its_absolute_path(
    repository, tmp_path, monkeypatch
):
    refusal = "fatal: detected dubious ownership\\n\\tgit config --add safe.directory desired"
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "{refusal}" >&2; exit 128\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.chdir(repository)
    with pytest.raises(SourceError, match=f"--add safe.directory {repository}`"):
        find_checkout(Path("desired"))
    program.write_text("#!/bin/sh\necho fatal: no such object >&2; exit 128\n")
    with pytest.raises(SourceError, match=f"at {repository}: fatal: no such object"):
        find_checkout(Path("desired"))
    program.unlink()
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(SourceError, match="or no git program"):
        find_checkout(Path("desired"))


def test_variables_of_a_hook_of_another_repository_are_ignored(repository, tmp_path, monkeypatch):
    """Git sets these for its hooks, and a hook is a good place for a diff."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "theirs")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    assert read_revision(repository / "desired") == head(repository)


def test_the_repository_is_not_written_to(repository):
    index = repository / ".git/index"
    os.utime(repository / "desired/a.yaml", (1, 1))
    before = index.read_bytes()
    assert read_revision(repository / "desired") == head(repository)
    assert index.read_bytes() == before


def test_nothing_that_the_repository_configures_is_run(repository, tmp_path):
    canary = tmp_path / "canary"
    git(repository, "config", "core.fsmonitor", f"touch {canary}; false")
    assert read_revision(repository / "desired") == head(repository)
    assert not canary.exists()


def filter_that_touches(witness):
    return f'[filter "x"]\n\tclean = "touch {witness}; cat"\n'


def test_tracked_files_that_look_like_a_bare_repository_run_nothing(repository, tmp_path):
    witness = tmp_path / "ran"
    desired = repository / "desired"
    embed_bare_repository(desired, desired, filter_that_touches(witness))
    subprocess.run(["git", "status", "--short"], cwd=desired, check=True, capture_output=True)
    assert witness.exists(), "git itself runs it, or this test shows nothing"
    witness.unlink()
    os.utime(desired / "trigger.yaml", (2, 2))
    assert read_revision(desired) == f"{head(repository)}-dirty"
    assert find_checkout(desired).prefix == "desired"
    assert not witness.exists()


def test_a_bare_repository_outside_of_any_checkout_is_not_used(tmp_path):
    witness = tmp_path / "ran"
    (tmp_path / "plain").mkdir()
    embed_bare_repository(tmp_path / "plain", tmp_path / "plain", filter_that_touches(witness))
    assert read_revision(tmp_path / "plain") == ""
    assert not witness.exists()


def test_a_folder_behind_a_link_is_in_the_repository_that_the_link_leads_to(repository, tmp_path):
    (tmp_path / "current").symlink_to(repository / "desired")
    assert read_revision(tmp_path / "current") == head(repository)


@pytest.mark.parametrize(
    ("ignored", "suffix"),
    [
        ("a.local.yaml", "-dirty"),
        ("b.local.YML", "-dirty"),
        ("team-local/a.yaml", "-dirty"),
        ("team-local/notes.txt", ""),
        (".hidden.local.yaml", ""),
        (".DS_Store", ""),
    ],
)
def test_a_file_that_git_ignores_and_we_read_makes_it_dirty(repository, ignored, suffix):
    (repository / ".gitignore").write_text("*.local.*\n.DS_Store\nteam-local/\n")
    git(repository, "add", ".gitignore")
    git(repository, "commit", "-q", "-m", "ignore")
    path = repository / "desired" / ignored
    path.parent.mkdir(exist_ok=True)
    path.write_text("a: 1")
    assert read_revision(repository / "desired") == f"{head(repository)}{suffix}"


@pytest.mark.parametrize("place", ["", "desired"])
def test_a_work_tree_that_was_never_checked_out_is_refused(repository, place):
    (repository / ".git/index").unlink()
    with pytest.raises(SourceError, match="git has not checked out the files of its commit"):
        find_missing_files(repository / place)
    git(repository, "reset", "-q")
    assert find_missing_files(repository / place) == {}


def test_a_work_tree_without_a_commit_lacks_nothing(tmp_path):
    git(tmp_path, "init", "-q")
    assert find_missing_files(tmp_path) == {}
