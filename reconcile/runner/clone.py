"""Clones a repository into the workspace: next to its place first, then renamed into it.

What is cloned is not trusted: git is kept from running anything of it, links in it are not
followed, and its size and the time for it are bounded.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from reconcile.runner.clone_errors import Failure, explain_failure
from reconcile.runner.credentials import Credentials
from reconcile.runner.folders import ensure_folder, is_folder, move_aside, open_folder
from reconcile.runner.local_changes import is_same_url, read_origin
from reconcile.runner.remote import (
    Access,
    RemoteError,
    check_host,
    open_access,
    parse_remote,
)
from reconcile.runner.space import Space
from reconcile.runtime.backoff import Backoff
from reconcile.runtime.git import RemoteGit

CLONING_FOLDER: Final = ".reconcile-runner-cloning"
"""The folder of unfinished clones in the workspace; the mirror always leaves it out."""

_ATTEMPTS: Final = 4
_BACKOFF: Final = Backoff(initial=1.0, maximum=8.0)
_GIT_FOLDER: Final = ".git"
_CLONE: Final = "clone"


class Clock(Protocol):
    """Time, and waits that end when the program is to end."""

    def monotonic(self) -> float:
        """Return seconds."""
        ...

    def wait(self, seconds: float) -> bool:
        """Sleep; return True if a stop ended it early."""
        ...

    def jitter(self) -> float:
        """Return a random number from 0 to 1."""
        ...


class State(StrEnum):
    """READY: cloned now. RESTORED: it was there before, and is as it was, whatever it is."""

    READY = "ready"
    RESTORED = "restored"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Source:
    """A repository and the folder in the workspace that it is for, such as `repos`.

    With a `path`, the content of that folder of the repository becomes the folder `name`; without,
    the repository does. An empty branch is the repository's default.
    """

    folder: str
    name: str
    url: str
    branch: str = ""
    path: str = ""

    @property
    def path_parts(self) -> list[str]:
        """The names in `path`."""
        return [each for each in self.path.split("/") if each not in {"", "."}]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a repository; `moved` is what was moved aside for it, by its new name."""

    source: Source
    state: State
    reason: str = ""
    moved: str = ""


@dataclass(frozen=True, slots=True)
class CloneSettings:
    """How to clone.

    Attributes:
        workspace: The workspace.
        state: A folder that the agent does not see, for the files that git needs.
        credentials: The declared credentials.
        environ: The environment of this process.
        allowed_hosts: Patterns of hosts; empty for all.
        ca_file: Certificates to trust instead of the machine's, if there is such a file.
        seconds: The time for each repository.
        allow_files: Whether `file:` URLs are cloned, which tests need.
    """

    workspace: Path
    state: Path
    credentials: Credentials
    environ: Mapping[str, str] = field(repr=False)
    allowed_hosts: tuple[str, ...] = ()
    ca_file: Path | None = None
    seconds: float = 600.0
    allow_files: bool = False


def remove_leftovers(workspace: int) -> None:
    """Remove the clones that an earlier process has not finished.

    Raises:
        OSError: The folder is neither ours nor can it be replaced.
    """
    with suppress(FileNotFoundError):
        if is_folder(CLONING_FOLDER, workspace):
            # What cannot be removed does no harm: each clone has a folder of its own.
            with suppress(OSError, RecursionError):
                shutil.rmtree(CLONING_FOLDER, dir_fd=workspace)
        else:
            os.unlink(CLONING_FOLDER, dir_fd=workspace)


class Cloner:
    """Clones repositories, several at the same time if it is called from several threads."""

    def __init__(self, settings: CloneSettings, space: Space, clock: Clock) -> None:
        self._settings = settings
        self._space = space
        self._clock = clock

    def clone(self, source: Source) -> Outcome:
        """Clone a repository, unless its folder has content; never raises for what it finds."""
        try:
            with ExitStack() as stack:
                top = stack.enter_context(open_folder(self._settings.workspace))
                parent = stack.enter_context(open_folder(source.folder, top))
                if _has_content(source.name, parent):
                    return Outcome(source, State.RESTORED, self._describe_restored(source))
                ensure_folder(CLONING_FOLDER, top)
                return self._clone(source, parent)
        except RemoteError as error:
            return Outcome(source, State.FAILED, str(error))
        except OSError as error:
            reason = f"the workspace cannot be written: {error.strerror}"
            return Outcome(source, State.FAILED, reason)

    def _describe_restored(self, source: Source) -> str:
        """Say that another repository than the declared one is there, which stays."""
        path = f"{source.folder}/{source.name}"
        origin = "" if source.path_parts else read_origin(self._settings.workspace / path)
        if not origin or is_same_url(origin, source.url):
            return ""
        origin = origin.partition("?")[0]  # a query may be a token
        return f"it stays a clone of {origin}: move {path} away to have the declared one cloned"

    def _clone(self, source: Source, parent: int) -> Outcome:
        settings = self._settings
        remote = parse_remote(source.url, allow_files=settings.allow_files)
        check_host(remote, settings.allowed_hosts)
        self._space.prepare()
        with open_access(remote, settings.credentials, settings.ca_file, settings.state) as access:
            return self._clone_with_retries(source, access, parent)

    def _clone_with_retries(self, source: Source, access: Access, parent: int) -> Outcome:
        deadline = self._clock.monotonic() + self._settings.seconds
        reasons: dict[str, None] = {}  # each once, in their order
        for attempt in range(1, _ATTEMPTS + 1):
            done = self._attempt(source, access, parent, deadline)
            if isinstance(done, Outcome):
                return done
            reasons[done.reason] = None
            delay = _BACKOFF.delay(attempt, self._clock.jitter())
            is_late = self._clock.monotonic() + delay >= deadline
            is_last = not done.may_pass or attempt == _ATTEMPTS or is_late
            if is_last or self._clock.wait(delay):
                tried = f" (tried {attempt} times)" if attempt > 1 else ""
                return Outcome(source, State.FAILED, f"{'; then '.join(reasons)}{tried}")
        raise AssertionError("the last attempt returns")

    def _attempt(
        self, source: Source, access: Access, parent: int, deadline: float
    ) -> Outcome | Failure:
        settings = self._settings
        folder = Path(tempfile.mkdtemp(prefix="clone-", dir=settings.workspace / CLONING_FOLDER))
        git = RemoteGit(
            folder, access.remote.protocol, settings.environ, access.config, access.ssh_command
        )
        try:
            result = git.run(
                *_build_arguments(source, access.remote.url),
                find_reason_to_stop=lambda: self._find_reason_to_stop(folder, deadline),
            )
            if not result.ok:
                self._space.forget(folder)
                return explain_failure(result, access, source.branch)
            if excess := self._space.find_final_excess(folder):
                return Failure(excess)
            return Outcome(source, State.READY, moved=_publish(source, folder, parent))
        finally:
            # Programs of a git that was killed may still write: the end of `prepare` tries again.
            with suppress(OSError):
                shutil.rmtree(folder)

    def _find_reason_to_stop(self, folder: Path, deadline: float) -> str:
        if self._clock.wait(0):
            return "it was stopped, since the pod ends"
        if self._clock.monotonic() >= deadline:
            return (
                f"it took longer than {self._settings.seconds:g} s: the server hangs, or the "
                "repository is too large"
            )
        return self._space.find_excess(folder)


def _build_arguments(source: Source, url: str) -> tuple[str, ...]:
    options = ["--quiet", "--template=", "--single-branch", "--no-recurse-submodules"]
    if source.branch:
        options.append(f"--branch={source.branch}")
    if source.path_parts:
        options.append("--depth=1")  # the history is not kept
    return ("clone", *options, "--", url, _CLONE)


def _has_content(name: str, parent: int) -> bool:
    """Whether a folder has content; one that cannot be read counts, since it is not ours."""
    if not is_folder(name, parent):
        return False
    try:
        with open_folder(name, parent) as folder, os.scandir(folder) as entries:
            return any(True for _ in entries)
    except PermissionError:
        return True


def _publish(source: Source, folder: Path, parent: int) -> str:
    """Rename a finished clone, or one folder of it, into its place; returns what was moved aside.

    Raises:
        RemoteError: The repository has no such folder.
    """
    with ExitStack() as stack:
        descriptor = stack.enter_context(open_folder(folder))
        name = _CLONE
        for part in source.path_parts:
            descriptor = stack.enter_context(open_folder(name, descriptor))
            name = part
            if part == _GIT_FOLDER or not is_folder(part, descriptor):
                raise RemoteError(f"it has no folder `{source.path}` on this branch")
        moved = _move_what_is_no_folder(source.name, parent)
        os.rename(name, source.name, src_dir_fd=descriptor, dst_dir_fd=parent)
        return moved


def _move_what_is_no_folder(name: str, parent: int) -> str:
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            return move_aside(name, parent)
    return ""
