"""A repository on a server with a pull request, and the checkout of a job."""

import os
import subprocess
from pathlib import Path

from reconcile.ci.commands import run_process
from reconcile.ci.forge import JobContext
from tests.session_files import defaults_text, policy_text, session_text

ENVIRON = {
    **{k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "GITHUB_", "CI"))},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.com",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.com",
}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRON)
    return done.stdout.strip()


class Upstream:
    """`main` with two commits since the branch `change` left it, as `refs/pull/5` on a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "upstream"
        self.folder.mkdir()
        git(self.folder, "init", "-q", "-b", "main")
        self.write("desired/policy.yaml", policy_text())
        self.write("desired/defaults.yaml", defaults_text())
        self.write("desired/team-a/one.yaml", session_text("one"))
        self.root = self.commit("first")
        git(self.folder, "checkout", "-q", "-b", "change")
        self.write("desired/team-a/two.yaml", session_text("two"))
        self.commit("add a session")
        git(self.folder, "checkout", "-q", "main")
        self.write("README", "hello")
        self.commit("on main")
        self.write("desired/team-a/three.yaml", session_text("three"))
        self.main = self.commit("another session on main")
        self.offer()

    def write(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")

    def commit(self, message: str) -> str:
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "-m", message)
        return git(self.folder, "rev-parse", "HEAD")

    def offer(self) -> None:
        """Do what the forge does for each push: merge the change, for the job alone."""
        self.head = git(self.folder, "rev-parse", "change")
        git(self.folder, "checkout", "-q", "--detach", "main")
        git(self.folder, "merge", "-q", "--no-ff", "-m", "merge", "change")
        self.merged = git(self.folder, "rev-parse", "HEAD")
        git(self.folder, "update-ref", "refs/pull/5/merge", "HEAD")
        git(self.folder, "update-ref", "refs/pull/5/head", "change")
        git(self.folder, "checkout", "-q", "main")

    def push(self, path: str, text: str) -> None:
        """Put another commit on the branch of the change."""
        git(self.folder, "checkout", "-q", "change")
        self.write(path, text)
        self.commit("more")
        git(self.folder, "checkout", "-q", "main")
        self.offer()

    def checkout(self, folder: Path, ref: str, *, full: bool = False) -> Path:
        """Check out as a job does: one ref, detached, by default without any history."""
        folder.mkdir()
        git(folder, "init", "-q")
        git(folder, "remote", "add", "origin", f"file://{self.folder}")
        wanted = [f"+{ref}:refs/remotes/pull"]
        more = ["+refs/heads/*:refs/remotes/origin/*"] if full else []
        depth = [] if full else ["--depth=1"]
        git(folder, "fetch", "-q", "--no-tags", *depth, "origin", *wanted, *more)
        git(folder, "checkout", "-q", "--detach", "refs/remotes/pull")
        return folder


def around(folder: Path, **environ: str) -> JobContext:
    return JobContext({**ENVIRON, **environ}, folder, run_process)
