"""The same command line as for history, and repositories as the platform stored them."""

import subprocess

import pytest

from tests.mirror.history.conftest import CommandLine


@pytest.fixture
def cli(moto_server, tmp_path, capsys):
    return CommandLine(moto_server, tmp_path, capsys)


def git(folder, *arguments):
    """Run git as a user without a special configuration."""
    words = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(words, cwd=folder, check=True, capture_output=True).stdout


@pytest.fixture
def repository(tmp_path):
    """A repository with two branches, a stash, and staged and uncommitted changes."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for name in ("both", "staged", "unstaged", "deleted"):
        (folder / name).write_text(f"{name}\n" * 20)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    git(folder, "branch", "other")
    git(folder, "checkout", "-qb", "work")
    (folder / "both").write_text("stashed\n")
    git(folder, "stash", "-q")
    (folder / "staged").write_text("staged\n" * 21)
    (folder / "both").write_text("both\n" * 21)
    (folder / "added").write_text("added\n")
    git(folder, "add", ".")
    (folder / "both").write_text("both\n" * 22)
    (folder / "unstaged").write_text("unstaged\n" * 19)
    (folder / "deleted").unlink()
    return folder


@pytest.fixture
def state(repository):
    """The files that the platform's script stores of it: names and bytes."""
    bundle = repository.parent / "x.bundle"
    git(repository, "bundle", "create", str(bundle), "--all")
    head = git(repository, "rev-parse", "HEAD").decode().strip()
    return {
        "work.bundle": bundle.read_bytes(),
        "uncommitted.patch": git(repository, "diff", "HEAD"),
        "staged.patch": git(repository, "diff", "--cached"),
        "metadata.json": (
            '{"remoteUrl":"https://user:secret@example.com/a/work.git","currentBranch":"work",'
            f'"headSha":"{head}","localBranches":["main","other","work"],"backedUpAt":"x"}}'
        ).encode(),
    }
