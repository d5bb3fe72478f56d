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

from reconcile.ci.environment import BaseCommit, DiffBase, MergeBase, UnknownBase, without_tokens
from reconcile.ci.forge import JobContext, ProcessResult, ProcessRunner
from reconcile.core.errors import SourceError

_TIMEOUT_SECONDS: Final = 1800
_COMMAND_NOT_FOUND: Final = 127
_TIMED_OUT: Final = 124
_SIGNAL_BASE: Final = 128


def run_process(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> ProcessResult:
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
        return ProcessResult(
            _TIMED_OUT, "", f"{command[0]}: no end after {_TIMEOUT_SECONDS} seconds"
        )
    except OSError as error:
        return ProcessResult(_COMMAND_NOT_FOUND, "", f"{command[0]}: {error.strerror}")
    code = done.returncode if done.returncode >= 0 else _SIGNAL_BASE - done.returncode
    return ProcessResult(code, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class RevisionComparison:
    """Compare with the files at this revision: no cluster, no credentials."""

    revision: str


@dataclass(frozen=True, slots=True)
class ClusterComparison:
    """Compare with the cluster that this kubeconfig names; empty means kubectl's rules."""

    kubeconfig: str


@dataclass(frozen=True, slots=True)
class ReconcileProgram:
    """The program, for one folder; `templates` may be empty. Paths are seen from `top`."""

    context: JobContext
    top: Path
    folder: str
    templates: str

    def validate(self, form: str) -> ProcessResult:
        """Run `reconcile validate`."""
        return self._run("validate", f"--output={form}")

    def diff(self, against: RevisionComparison | ClusterComparison, limit: int) -> ProcessResult:
        """Run `reconcile diff`; its output is Markdown of at most `limit` bytes."""
        if isinstance(against, RevisionComparison):
            where = [f"--against={against.revision}"]
        else:
            where = [f"--kubeconfig={against.kubeconfig}"] if against.kubeconfig else []
        return self._run("diff", *where, "--output=markdown", f"--limit={limit}")

    def _run(self, command: str, *options: str) -> ProcessResult:
        # -P: a folder `reconcile` in the checkout must not be taken for this program.
        interpreter = [sys.executable, "-P", "-m", "reconcile"]
        templates = [f"--templates={self.templates}"] if self.templates else []
        environ = without_tokens(self.context.environ)
        arguments = [*options, *templates, "--", self.folder]
        return self.context.run([*interpreter, command, *arguments], environ, self.top)


_REVISION: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_FETCH_ADVICE: Final = (
    "let the checkout bring the whole history: `fetch-depth: 0` for actions/checkout, `GIT_DEPTH: "
    '"0"` on GitLab; or name a revision with `against`'
)


class JobRepository:
    """The repository that the job has checked out."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        above = (context.folder, *context.folder.parents)
        self.top = next((one for one in above if (one / ".git").exists()), context.folder)
        # Naming the repository keeps git from using tracked files that look like a bare one, and
        # from refusing a checkout that belongs to another user than a container's.
        repository = [f"--git-dir={self.top / '.git'}", f"--work-tree={self.top}"]
        self._command = ["git", "-c", "safe.bareRepository=explicit", *repository]
        self._environ = {**without_tokens(context.environ), "GIT_TERMINAL_PROMPT": "0"}

    def relative_path(self, path: str) -> str:
        """Name a path as seen from the top of the repository, which is how forges show files."""
        whole = Path(os.path.normpath(self._context.folder / path))
        inside = whole.is_relative_to(self.top)
        return (whole.relative_to(self.top) if inside else whole).as_posix()

    def find_base(self, base: DiffBase) -> str:
        """Find the commit to compare with, and have it here; SourceError says what to do."""
        match base:
            case BaseCommit(revision):
                return self._ensure_commit(revision, "--depth=1")
            case MergeBase(tip, merged):
                return self._find_merge_base(tip, merged)
            case UnknownBase():
                raise SourceError("nothing says what to compare with; name a revision: `against`")
            case _:
                assert_never(base)

    def _find_merge_base(self, tip: str, merge_commit: str) -> str:
        if not self._read_output("rev-parse", "--verify", "--quiet", "HEAD"):
            raise SourceError("there is no commit here: let actions/checkout run before")
        parents = self._parents()
        if len(parents) > 1 and self._read_output("rev-parse", "HEAD") == merge_commit:
            # HEAD is what the branch becomes when it is merged now, on top of its first parent.
            return self._ensure_commit(parents[0], "--depth=1")
        if self._read_output("rev-parse", "--is-shallow-repository") == "true":
            self._fetch("--unshallow", tip)
        self._ensure_commit(tip)
        base = self._read_output("merge-base", tip, "HEAD")
        if not base:
            raise SourceError(f"HEAD and {tip} have no common history here; {_FETCH_ADVICE}")
        return base

    def _parents(self) -> list[str]:
        """Read the commit itself: in a shallow clone git hides the parents that are not there."""
        commit = self._read_output("cat-file", "commit", "HEAD") or ""
        head = commit.split("\n\n", 1)[0]
        return [line.split()[1] for line in head.splitlines() if line.startswith("parent ")]

    def _ensure_commit(self, revision: str, *options: str) -> str:
        if not _REVISION.fullmatch(revision):
            raise SourceError(f"{revision!r} is no commit's name")
        if self._read_output("cat-file", "-e", f"{revision}^{{commit}}") is None:
            self._fetch(*options, revision)
        return revision

    def _fetch(self, *arguments: str) -> None:
        done = self._run("fetch", "--no-tags", "--no-write-fetch-head", "origin", *arguments)
        if done.code != 0:
            why = done.err.strip().splitlines()[-1:] or ["no reason given"]
            raise SourceError(
                f"the commit to compare with cannot be fetched: {why[0]}; {_FETCH_ADVICE}"
            )

    def _read_output(self, *arguments: str) -> str | None:
        done = self._run(*arguments)
        return done.out.strip() if done.code == 0 else None

    def _run(self, *arguments: str) -> ProcessResult:
        return self._context.run([*self._command, *arguments], self._environ, self._context.folder)


if TYPE_CHECKING:
    _conforms: ProcessRunner = run_process
