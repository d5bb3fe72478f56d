"""The commands that a review runs: `reconcile validate`, `reconcile diff`, and git.

The commands of `reconcile` run as processes with their documented options, as in any other CI. Git
finds the commit that the change is based on, and fetches it where the checkout is shallow.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from reconcile.ci.environment import BaseCommit, DiffBase, MergeBase, UnknownBase
from reconcile.ci.forge import JobContext, ProcessResult, ProcessRunner
from reconcile.core.errors import SourceError
from reconcile.runtime.git import GitRepository, find_work_tree
from reconcile.runtime.settings import build_child_environ

_TIMEOUT_SECONDS: Final = 1800
_COMMAND_NOT_FOUND: Final = 127
_TIMED_OUT: Final = 124
_SIGNAL_BASE: Final = 128


def run_process(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> ProcessResult:
    """Run a program without input, to its end.

    As in a shell, the exit code is 124 after a timeout, 127 for a program that cannot be started,
    and 128 plus the number of the signal that ended the program.
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
            _TIMED_OUT, "", f"{command[0]}: killed after {_TIMEOUT_SECONDS} seconds"
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
    """Compare with the cluster of this kubeconfig; empty: found as kubectl finds it."""

    kubeconfig: str


@dataclass(frozen=True, slots=True)
class ReconcileProgram:
    """The program `reconcile` for one folder; paths are relative to `top`."""

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
        # -P: a folder `reconcile` in the checkout must not be imported instead of this program.
        interpreter = [sys.executable, "-P", "-m", "reconcile"]
        templates = [f"--templates={self.templates}"] if self.templates else []
        environ = build_child_environ(self.context.environ)
        arguments = [*options, *templates, "--", self.folder]
        return self.context.run([*interpreter, command, *arguments], environ, self.top)


_REVISION: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_FETCH_ADVICE: Final = (
    "let the checkout fetch the whole history: `fetch-depth: 0` for actions/checkout, `GIT_DEPTH: "
    '"0"` on GitLab; or name a revision with `against`'
)


class JobRepository:
    """The repository that the job has checked out."""

    def __init__(self, context: JobContext) -> None:
        self._folder = context.folder
        self._environ = context.environ
        self.top = find_work_tree(context.folder) or context.folder
        self._git = GitRepository(
            self.top,
            context.folder,
            build_child_environ(context.environ),
            config=(),  # the network may be used: a shallow checkout lacks the base
            timeout=_TIMEOUT_SECONDS,
        )

    def relative_path(self, path: str) -> str:
        """Make a path relative to the top of the repository, as forges show files."""
        absolute = Path(os.path.normpath(self._folder / path))
        is_inside = absolute.is_relative_to(self.top)
        return (absolute.relative_to(self.top) if is_inside else absolute).as_posix()

    def _check_config(self) -> None:
        """Raise a SourceError if git would read its configuration from a file of the checkout.

        The author of the change could write into it which program gets the job's credentials.
        """
        path = self._git.find_tracked_config()
        if path is not None:
            raise SourceError(
                f"git reads its configuration from {path}, where the author of the change can "
                "write it: remove the `include.path`, or let HOME be outside of the checkout"
            )

    def check_kubeconfig(self, comparison: ClusterComparison) -> None:
        """Raise a SourceError if the kubeconfig is in the checkout.

        The author of the change could write into it which program to run, which files to read and
        which server gets their content.
        """
        for path in _find_kubeconfigs(comparison, self._environ):
            lexical = Path(os.path.normpath(self._folder / path))
            places = {lexical, Path(os.path.realpath(lexical))}
            tops = (self.top, Path(os.path.realpath(self.top)))
            if any(place.is_relative_to(top) for place in places for top in tops):
                raise SourceError(
                    f"the kubeconfig {path} is in the checkout, where the author of the change can "
                    "write it; put it elsewhere, for example into $RUNNER_TEMP"
                )

    def find_base(self, base: DiffBase) -> str:
        """Find the commit to compare with, and fetch it if needed; SourceError says what to do."""
        self._check_config()
        match base:
            case BaseCommit(revision):
                return self._ensure_commit(revision, "--depth=1")
            case MergeBase(tip, merged):
                return self._find_merge_base(tip, merged)
            case UnknownBase():
                raise SourceError("there is no revision to compare with; name one with `against`")
            case _:
                assert_never(base)

    def _find_merge_base(self, tip: str, merge_commit: str) -> str:
        if not self._read_output("rev-parse", "--verify", "--quiet", "HEAD"):
            raise SourceError("there is no commit here; run actions/checkout before this step")
        parents = self._parents()
        if len(parents) > 1 and self._read_output("rev-parse", "HEAD") == merge_commit:
            # HEAD is the forge's merge commit: its first parent is the target branch.
            return self._ensure_commit(parents[0], "--depth=1")
        if self._read_output("rev-parse", "--is-shallow-repository") == "true":
            self._fetch("--unshallow", tip)
        self._ensure_commit(tip)
        base = self._read_output("merge-base", tip, "HEAD")
        if not base:
            raise SourceError(f"HEAD and {tip} have no common history here; {_FETCH_ADVICE}")
        return base

    def _parents(self) -> list[str]:
        """Read the commit object: in a shallow clone `rev-parse` hides parents that are missing."""
        commit = self._read_output("cat-file", "commit", "HEAD") or ""
        head = commit.split("\n\n", 1)[0]
        return [line.split()[1] for line in head.splitlines() if line.startswith("parent ")]

    def _ensure_commit(self, revision: str, *options: str) -> str:
        if not _REVISION.fullmatch(revision):
            raise SourceError(f"{revision!r} is not the id of a commit")
        if self._read_output("cat-file", "-e", f"{revision}^{{commit}}") is None:
            self._fetch(*options, revision)
        return revision

    def _fetch(self, *arguments: str) -> None:
        options = ("--no-tags", "--no-write-fetch-head", "origin")
        result = self._git.run("fetch", *options, *arguments)
        if not result.ok:
            raise SourceError(
                f"the commit to compare with cannot be fetched: {result.reason}; {_FETCH_ADVICE}"
            )

    def _read_output(self, *arguments: str) -> str | None:
        result = self._git.run(*arguments)
        return result.text.strip() if result.ok else None


def _find_kubeconfigs(comparison: ClusterComparison, environ: Mapping[str, str]) -> list[str]:
    """The files in which `reconcile diff` looks for the cluster."""
    if comparison.kubeconfig:
        return [comparison.kubeconfig]
    if listed := [path for path in environ.get("KUBECONFIG", "").split(":") if path]:
        return listed
    return [f"{environ['HOME']}/.kube/config"] if environ.get("HOME") else []


if TYPE_CHECKING:
    _conforms: ProcessRunner = run_process
