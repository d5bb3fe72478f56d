"""Files and git repositories for tests, independent of the configuration of the machine."""

import os
import subprocess
from pathlib import Path

WHO = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false")


class Repository:
    """A repository with a folder `desired`."""

    def __init__(self, top: Path, *options: str) -> None:
        self.top = top
        self.desired = top / "desired"
        self.desired.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", *options)

    def git(self, *arguments: str) -> str:
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
        }
        command = ["git", *WHO, "-c", "safe.directory=*", "-C", str(self.top), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
        return done.stdout.strip()

    def commit(self, message: str = "change") -> str:
        """Commit all that is there; returns the commit."""
        self.git("add", "--all", "--force", ".")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


def write(path: Path, text: str = "a: 1\n") -> Path:
    """Write a file, with the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def hide(repository: Repository, mark: str, *paths: str) -> None:
    """Remove files from the work tree, so that git does not report them as deleted."""
    repository.git("update-index", mark, *paths)
    for path in paths:
        (repository.top / path).unlink(missing_ok=True)


def embed_bare_repository(folder: Path, work_tree: Path, config: str) -> None:
    """Put files into a folder that git takes for a bare repository with that config.

    All of them can be committed, as a pull request's files. The file `trigger.yaml` has the filter
    `x`, and an index entry that makes `git status` read it again.
    """
    for name in ("objects/info", "refs/heads"):
        (folder / name).mkdir(parents=True)
        (folder / name / "keep").touch()
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / ".gitattributes").write_text("trigger.yaml filter=x\n")
    (folder / "trigger.yaml").write_text("a: 1\n")
    common = f"[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = {work_tree}\n"
    (folder / "config").write_text(common)
    environ = {"PATH": os.environ["PATH"], "GIT_DIR": str(folder), "GIT_WORK_TREE": str(work_tree)}
    for command in (("add", "-f", str(folder / "trigger.yaml")), ("commit", "-q", "-m", "x")):
        subprocess.run(["git", *WHO, *command], check=True, cwd=work_tree, env=environ)
    (folder / "config").write_text(common + config)
    os.utime(folder / "trigger.yaml", (1, 1))
