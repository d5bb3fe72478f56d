"""Makes git clones with generated content; uses no network."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

_SECONDS = 1_700_000_000
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


class Content(Protocol):
    """A generator of file contents."""

    def text(self, size: int) -> bytes: ...

    def size(self, median: int, largest: int) -> int: ...


def git(folder: Path, *arguments: str, second: int = 0) -> None:
    """Run git with a fixed commit time; raises CalledProcessError if it fails."""
    date = f"{_SECONDS + second} +0000"
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    subprocess.run(
        ("git", "-c", "init.defaultBranch=main", "-c", "pack.threads=1", *arguments),
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, **_ENVIRONMENT, **dates},
    )


def clone(target: Path, content: Content, files: int, number: int) -> None:
    """Make a clone at `target` with a history, a stash, and uncommitted changes."""
    with tempfile.TemporaryDirectory(prefix="bench-upstream-") as folder:
        upstream = Path(folder) / "upstream"
        upstream.mkdir()
        git(upstream, "init", "--quiet")
        for commit in range(8):
            _grow(upstream, content, files // 8 + 1, commit)
            git(upstream, "add", "--all", second=commit)
            git(upstream, "commit", "--quiet", "--message", f"Step {commit}", second=commit)
            git(upstream, "tag", f"v0.{commit}", second=commit)
        target.parent.mkdir(parents=True, exist_ok=True)
        git(upstream.parent, "clone", "--quiet", "--no-local", "upstream", str(target))
    _work(target, content, number)


def _grow(folder: Path, content: Content, files: int, commit: int) -> None:
    for number in range(files):
        path = folder / f"module_{commit}" / f"part_{number % 7}" / f"file_{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.text(content.size(4_000, 200_000)))
    (folder / "CHANGES.md").write_bytes(content.text(4_000 + 400 * commit))


def _work(clone: Path, content: Content, number: int) -> None:
    """Write what an agent leaves: unpushed commits, staged and unstaged files, a stash."""
    (clone / "CHANGES.md").write_bytes(content.text(9_000))
    git(clone, "stash", "push", "--quiet")
    for step in range(6):
        (clone / f"work_{step}.py").write_bytes(content.text(7_000))
        git(clone, "add", "--all")
        git(clone, "commit", "--quiet", "--message", f"Work {step}", second=1000 + step)
    (clone / "staged.py").write_bytes(content.text(3_000 + number))
    git(clone, "add", "staged.py")
    (clone / "unstaged.py").write_bytes(content.text(3_000 + number))
