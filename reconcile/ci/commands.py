"""Asks git what the change began from, and fetches that commit where a checkout is shallow.

Runs other programs: git, and this program itself.

Runs this program's other commands, as any other CI would: by their documented command line.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from reconcile.ci.environment import BranchOff, Exactly, Start, Unknown, without_tokens
from reconcile.ci.forge import Ended, Run, Surroundings
from reconcile.core.errors import SourceError

_TIMEOUT_SECONDS: Final = 1800
_MISSING: Final = 127
_TOO_LONG: Final = 124
_SIGNALS: Final = 128


def run_process(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> Ended:
    """Run a program without input.

    One that is too slow ends as 124, one that a signal has ended as 128 and its number, as shells
    have it.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, values behind `--` or `--name=`
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
            env=dict(environ),
        )
    except subprocess.TimeoutExpired:
        return Ended(_TOO_LONG, "", f"{command[0]}: no end after {_TIMEOUT_SECONDS} seconds")
    except OSError as error:
        return Ended(_MISSING, "", f"{command[0]}: {error.strerror}")
    code = done.returncode if done.returncode >= 0 else _SIGNALS - done.returncode
    return Ended(code, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class Offline:
    """Compare with the files at this revision: no cluster, no credentials."""

    revision: str


@dataclass(frozen=True, slots=True)
class Live:
    """Compare with the cluster that this kubeconfig names; empty means kubectl's rules."""

    kubeconfig: str


@dataclass(frozen=True, slots=True)
class Program:
    """The program, for one folder; `templates` may be empty. Paths are seen from `top`."""

    around: Surroundings
    top: Path
    folder: str
    templates: str

    def validate(self, form: str) -> Ended:
        """Run `reconcile validate`."""
        return self._run("validate", f"--output={form}")

    def diff(self, against: Offline | Live, limit: int) -> Ended:
        """Run `reconcile diff`; its output is Markdown of at most `limit` bytes."""
        if isinstance(against, Offline):
            where = [f"--against={against.revision}"]
        else:
            where = [f"--kubeconfig={against.kubeconfig}"] if against.kubeconfig else []
        return self._run("diff", *where, "--output=markdown", f"--limit={limit}")

    def _run(self, command: str, *options: str) -> Ended:
        # -P: a folder `reconcile` in the checkout must not be taken for this program.
        interpreter = [sys.executable, "-P", "-m", "reconcile"]
        templates = [f"--templates={self.templates}"] if self.templates else []
        environ = without_tokens(self.around.environ)
        arguments = [*options, *templates, "--", self.folder]
        return self.around.run([*interpreter, command, *arguments], environ, self.top)


_REVISION: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ADVICE: Final = (
    "let the checkout bring the whole history: `fetch-depth: 0` for actions/checkout, `GIT_DEPTH: "
    '"0"` on GitLab; or name a revision with `against`'
)


class Git:
    """The repository that the job has checked out."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        above = (around.folder, *around.folder.parents)
        self.top = next((one for one in above if (one / ".git").exists()), around.folder)
        # Naming the repository keeps git from using tracked files that look like a bare one, and
        # from refusing a checkout that belongs to another user than a container's.
        repository = [f"--git-dir={self.top / '.git'}", f"--work-tree={self.top}"]
        self._command = ["git", "-c", "safe.bareRepository=explicit", *repository]
        self._environ = {**without_tokens(around.environ), "GIT_TERMINAL_PROMPT": "0"}

    def inside(self, path: str) -> str:
        """Name a path as seen from the top of the repository, which is how forges show files."""
        whole = Path(os.path.normpath(self._around.folder / path))
        inside = whole.is_relative_to(self.top)
        return (whole.relative_to(self.top) if inside else whole).as_posix()

    def base(self, start: Start) -> str:
        """Find the commit to compare with, and have it here; SourceError says what to do."""
        match start:
            case Exactly(revision):
                return self._have(revision, "--depth=1")
            case BranchOff(tip, merged):
                return self._branch_off(tip, merged)
            case Unknown():
                raise SourceError("nothing says what to compare with; name a revision: `against`")
            case _:
                assert_never(start)

    def _branch_off(self, tip: str, merged: str) -> str:
        if not self._out("rev-parse", "--verify", "--quiet", "HEAD"):
            raise SourceError("there is no commit here: let actions/checkout run before")
        parents = self._parents()
        if len(parents) > 1 and self._out("rev-parse", "HEAD") == merged:
            # HEAD is what the branch becomes when it is merged now, on top of its first parent.
            return self._have(parents[0], "--depth=1")
        if self._out("rev-parse", "--is-shallow-repository") == "true":
            self._fetch("--unshallow", tip)
        self._have(tip)
        base = self._out("merge-base", tip, "HEAD")
        if not base:
            raise SourceError(f"HEAD and {tip} have no common history here; {_ADVICE}")
        return base

    def _parents(self) -> list[str]:
        """Read the commit itself: in a shallow clone git hides the parents that are not there."""
        commit = self._out("cat-file", "commit", "HEAD") or ""
        head = commit.split("\n\n", 1)[0]
        return [line.split()[1] for line in head.splitlines() if line.startswith("parent ")]

    def _have(self, revision: str, *options: str) -> str:
        if not _REVISION.fullmatch(revision):
            raise SourceError(f"{revision!r} is no commit's name")
        if self._out("cat-file", "-e", f"{revision}^{{commit}}") is None:
            self._fetch(*options, revision)
        return revision

    def _fetch(self, *arguments: str) -> None:
        done = self._run("fetch", "--no-tags", "--no-write-fetch-head", "origin", *arguments)
        if done.code != 0:
            why = done.err.strip().splitlines()[-1:] or ["no reason given"]
            raise SourceError(f"the commit to compare with cannot be fetched: {why[0]}; {_ADVICE}")

    def _out(self, *arguments: str) -> str | None:
        done = self._run(*arguments)
        return done.out.strip() if done.code == 0 else None

    def _run(self, *arguments: str) -> Ended:
        return self._around.run([*self._command, *arguments], self._environ, self._around.folder)


if TYPE_CHECKING:
    _conforms: Run = run_process
