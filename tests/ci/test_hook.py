"""The pre-commit hook, by pre-commit itself in a real repository."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.ci.repositories import ENVIRON, git
from tests.session_files import defaults_text, policy_text, session_text

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent


@pytest.fixture
def repository(tmp_path):
    """A repository with the hook as it is shipped, but run by the program that is here already."""
    ((hook,),) = YAML(typ="safe").load_all((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    local = {"repos": [{"repo": "local", "hooks": [{**hook, "language": "system"}]}]}
    folder = tmp_path / "repository"
    (folder / "desired/team-a").mkdir(parents=True)
    git(folder, "init", "-q")
    with (folder / ".pre-commit-config.yaml").open("w") as file:
        YAML().dump(local, file)
    (folder / "desired/policy.yaml").write_text(policy_text())
    (folder / "desired/defaults.yaml").write_text(defaults_text())
    return folder


def commit(folder, path="desired/team-a/one.yaml", text=""):
    (folder / path).write_text(text)
    git(folder, "add", "-A")
    environ = {
        **ENVIRON,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(folder.parent / "cache"),
    }
    command = [str(BIN / "pre-commit"), "run", "--color=never"]
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


def test_a_mistake_is_named_with_its_place_and_stops_the_commit(repository):
    done = commit(repository, text=session_text("one", "initialPromt: work"))
    assert done.returncode == 1
    assert "team-a/one.yaml:" in done.stdout
    assert "did you mean `initialPrompt`?" in done.stdout


def test_good_files_pass(repository):
    done = commit(repository, text=session_text("one"))
    assert (done.returncode, "Passed" in done.stdout) == (0, True), done.stdout


def test_a_commit_of_other_files_is_not_looked_at(repository):
    commit(repository, text="nonsense")
    git(repository, "-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "unseen")
    done = commit(repository, "README.md", "hello")
    assert (done.returncode, "no files to check" in done.stdout) == (0, True), done.stdout


def test_what_is_installed_on_commit_is_the_hook(repository):
    environ = {**ENVIRON, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    environ["PRE_COMMIT_HOME"] = str(repository.parent / "cache")
    install = [str(BIN / "pre-commit"), "install"]
    subprocess.run(install, cwd=repository, env=environ, check=True, capture_output=True)
    (repository / "desired/team-a/one.yaml").write_text("kind: Unknown\n")
    git(repository, "add", "-A")
    refused = subprocess.run(
        ["git", "commit", "-q", "-m", "broken"],
        cwd=repository,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "team-a/one.yaml:" in refused.stderr


def test_the_shipped_hook_installs_itself_and_finds_the_mistake(repository):
    (repository / "desired/team-a/one.yaml").write_text("kind: Unknown\n")
    git(repository, "add", "-A")
    done = subprocess.run(
        [BIN / "pre-commit", "try-repo", str(ROOT), "reconcile-validate", "--color=never"],
        cwd=repository,
        env={
            **ENVIRON,
            "PRE_COMMIT_HOME": str(repository.parent / "cache"),
            # A checkout may belong to another user than a container's.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "team-a/one.yaml:1:7: kind: unknown kind" in done.stdout, done.stdout + done.stderr
