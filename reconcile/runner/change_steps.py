"""Does one change of a running session through the runner's API, unless work would be lost.

The runner removes and replaces folders without a look at them, leaves `repos/` for a name like
`../x`, and answers 200 although a workflow was not cloned: all that is checked here, before and
after each request.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from reconcile.runner.client import Answer, RunnerError
from reconcile.runner.credentials import Credentials
from reconcile.runner.inputs import Repository, Workflow, is_safe_name
from reconcile.runner.local_changes import (
    find_reason_to_keep,
    is_real_folder,
    is_repository,
    is_same_url,
    read_branch,
    read_origin,
)
from reconcile.runner.probe import Probe, UnavailableError
from reconcile.runner.remote import Remote, RemoteError, check_host, parse_remote
from reconcile.runner.workflow_files import WorkflowFiles

_TOKEN_HEADERS: Final = {"github": "X-GitHub-Token", "gitlab": "X-GitLab-Token"}
_RETRY_SECONDS: Final = 30.0
_BUSY_SECONDS: Final = 2.0
NEVER: Final = float("inf")
"""Seconds of a change that takes effect in another pod."""
_OK: Final = 200
_BUSY: Final = frozenset({409, 422, 503})
_LONGEST_DETAIL: Final = 200

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Done:
    """The runner has the change."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The change cannot be made now, or not at all in this pod.

    It is attempted again after `seconds`, or when a run has ended; `blocks_prompt` if a new prompt
    needs the change.
    """

    reason: str
    seconds: float = _RETRY_SECONDS
    blocks_prompt: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed; it is made again after a time that doubles."""

    reason: str


Outcome: TypeAlias = Done | Waiting | Failed


class Poster(Protocol):
    """Sends requests to the runner."""

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str] = ...,
        timeout: float = ...,
    ) -> Answer:
        """Send JSON; raises RunnerError if there is no answer in time."""
        ...


@dataclass(frozen=True, slots=True)
class StepSettings:
    """How changes are made.

    Attributes:
        workspace: The workspace.
        credentials: The declared credentials, whose tokens go into the header of a request.
        probe: Asks a server about a repository first.
        allowed_hosts: Patterns of hosts of repositories; empty for all.
        clone_seconds: How long the runner may clone.
        allow_files: Whether `file:` URLs are cloned, which tests need.
    """

    workspace: Path
    credentials: Credentials
    probe: Probe
    allowed_hosts: tuple[str, ...] = ()
    clone_seconds: float = 600.0
    allow_files: bool = False


@dataclass(slots=True, eq=False)
class Steps:
    """Makes changes, one at a time."""

    settings: StepSettings
    client: Poster
    files: WorkflowFiles
    _is_stopped: threading.Event = field(default_factory=threading.Event)

    async def set_model(self, model: str) -> Outcome:
        """Set the model of the next run; the runner's own default cannot be set back."""
        if not model:
            return Waiting("the runner's own default takes effect at the next start", NEVER)
        answer = await self._post("/model", {"model": model})
        return Done() if isinstance(answer, Answer) else answer

    async def add_repository(self, repository: Repository) -> Outcome:
        """Let the runner clone a repository, unless its folder is there already."""
        folder = self._find_folder("repos", repository.name)
        if isinstance(folder, Failed):
            return folder
        present = await asyncio.to_thread(_judge_present, folder, repository.url)
        if present is not None:
            return present
        remote = await self._check_remote(repository.url, repository.branch)
        if not isinstance(remote, _Known):
            return remote
        # The runner would name a branch of its own if none is given.
        body = {"url": remote.remote.url, "branch": remote.branch, "name": repository.name}
        answer = await self._post("/repos/add", body, remote.headers)
        if not isinstance(answer, Answer):
            return _explain_login(answer, remote.remote)
        return await asyncio.to_thread(_judge_clone, folder, remote.branch)

    async def check_branch(self, repository: Repository) -> Outcome:
        """Find out whether a repository has its new branch, to which only the agent switches."""
        folder = self._find_folder("repos", repository.name)
        if isinstance(folder, Failed):
            return folder
        # Without a declared branch it may have any.
        if repository.branch in {"", await asyncio.to_thread(read_branch, folder)}:
            return Done()
        text = f"repos/{repository.name} keeps its branch: ask the agent to switch it, or declare "
        return Waiting(f"{text}it with another `name`")

    async def remove_repository(self, repository: Repository, *, is_replaced: bool) -> Outcome:
        """Let the runner remove a repository that holds no work; another may be cloned there."""
        folder = self._find_folder("repos", repository.name)
        if isinstance(folder, Failed):
            return folder
        reason = await asyncio.to_thread(find_reason_to_keep, folder)
        if reason:
            text = f"repos/{repository.name} stays, since {reason}"
            return Waiting(text, blocks_prompt=is_replaced)
        was_there = os.path.lexists(folder)
        answer = await self._post("/repos/remove", {"name": repository.name})
        if not isinstance(answer, Answer):
            return answer
        if os.path.lexists(folder):
            return Failed("the runner has answered that it was removed, and it is still there")
        return Done("" if was_there else "it was not there")

    async def set_workflow(self, workflow: Workflow | None) -> Outcome:
        """Let the runner replace the active workflow, unless its folder has local changes."""
        if workflow is None:
            answer = await self._post("/workflow", {"gitUrl": ""})
            return Done() if isinstance(answer, Answer) else answer
        for name in dict.fromkeys((workflow.name, workflow.cloned_name)):
            folder = self._find_folder("workflows", name)
            if isinstance(folder, Failed):
                return folder
            if reason := await asyncio.to_thread(self.files.find_reason_to_keep, name):
                return Waiting(f"workflows/{name} stays, since {reason}", blocks_prompt=True)
        remote = await self._check_remote(workflow.url, workflow.branch)
        if not isinstance(remote, _Known):
            return remote
        return await self._clone_workflow(workflow, remote)

    async def _clone_workflow(self, workflow: Workflow, remote: "_Known") -> Outcome:
        folder = self.settings.workspace / "workflows" / workflow.cloned_name
        # The runner takes an empty branch for `main`, whatever the repository's own default is; for
        # a URL that ends in `/` it would replace the folder of all workflows.
        url, branch = remote.remote.url.rstrip("/"), remote.branch
        body = {"gitUrl": url, "branch": branch, "path": workflow.path}
        before = _identify(folder)
        # A clone that fails is answered with 200, too.
        answer = await self._post("/workflow", body, remote.headers)
        if isinstance(answer, Answer) and _is_called_active(answer):
            # It names the workflow of an attempt that failed, and would not clone it again.
            await self._post("/workflow", {"gitUrl": ""})
            answer = await self._post("/workflow", body, remote.headers)
        if not isinstance(answer, Answer):
            return answer
        if not is_real_folder(folder) or not any(folder.iterdir()):
            # With an empty folder as working directory the agent would work in nothing.
            await self._post("/workflow", {"gitUrl": ""})
            failed = Failed("the runner could not clone it; no workflow is active now")
            return _explain_login(failed, remote.remote)
        if _identify(folder) == before:
            failed = Failed("the runner could not clone it; the files are those of before")
            return _explain_login(failed, remote.remote)
        return await self._adopt_workflow(workflow, folder)

    async def _adopt_workflow(self, workflow: Workflow, folder: Path) -> Outcome:
        is_whole = bool(workflow.path.strip("/.")) and os.path.lexists(folder / ".git")
        await asyncio.to_thread(self.files.adopt, workflow)
        if is_whole:
            return Failed(f"it has no folder {workflow.path}: the runner took the whole repository")
        return Done()

    async def _check_remote(self, url: str, branch: str) -> "_Known | Failed":
        """Check that the policy allows the host, and that the branch can be read."""
        try:
            remote = parse_remote(url, allow_files=self.settings.allow_files)
            check_host(remote, self.settings.allowed_hosts)
            probe, should_stop = self.settings.probe, self._is_stopped.is_set
            found = await self._run(lambda: probe.find_branch(remote, branch, should_stop))
        except UnavailableError as error:
            return Failed(f"its server cannot be reached: {error}")
        except RemoteError as error:
            return Failed(str(error))
        except OSError as error:
            return Failed(f"git cannot be started: {error.strerror}")
        return _Known(remote, found, self._find_headers(remote))

    def _find_headers(self, remote: Remote) -> Mapping[str, str]:
        """Return the header with the token for a host; none is sent without encryption."""
        source = self.settings.credentials.find_for_host(remote.host) if remote.host else None
        name = _TOKEN_HEADERS.get(source.provider) if source else None
        if source is None or name is None or remote.protocol != "https":
            return {}
        token = self.settings.credentials.read(source).get("token", "")
        return {name: token} if token.isascii() and token.isprintable() and token else {}

    def _find_folder(self, parent: str, name: str) -> Path | Failed:
        if not is_safe_name(name):
            return Failed(f"{name[:100]!r} is not the name of one folder")
        return self.settings.workspace / parent / name

    async def _post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Answer | Waiting | Failed:
        """Send a change; a runner that is not there yet, or generates, is asked again soon."""
        try:
            seconds = self.settings.clone_seconds
            answer = await self.client.post(path, body, headers or {}, seconds)
        except RunnerError as error:
            is_starting = error.is_refused
            return (
                Waiting(str(error), _BUSY_SECONDS, blocks_prompt=True)
                if is_starting
                else Failed(str(error))
            )
        if answer.status in _BUSY:
            return Waiting("the runner is busy", _BUSY_SECONDS, blocks_prompt=True)
        return answer if answer.status == _OK else Failed(_describe_refusal(answer))

    async def _run(self, function: Callable[[], _Value]) -> _Value:
        """Run a function in a thread, which ends soon if this task is cancelled."""
        try:
            return await asyncio.to_thread(function)
        except asyncio.CancelledError:
            self._is_stopped.set()
            raise


@dataclass(frozen=True, slots=True)
class _Known:
    """A repository that can be read, and the branch to clone."""

    remote: Remote
    branch: str
    headers: Mapping[str, str] = field(repr=False)


def _judge_present(folder: Path, url: str) -> Done | Failed | None:
    """Judge a folder that has the name of a new repository; None if it is free.

    The runner would switch the branch of what is there, and carry its changes along.
    """
    if not os.path.lexists(folder):
        return None
    if is_repository(folder) and is_same_url(read_origin(folder), url):
        return Done("it was there already, and is as it was")
    if is_real_folder(folder):
        try:
            folder.rmdir()
        except OSError:
            pass
        else:
            return None
    return Failed(
        f"repos/{folder.name} is there already and is no clone of this URL; move it, or declare "
        "another `name`"
    )


def _explain_login(outcome: Waiting | Failed, remote: Remote) -> Outcome:
    """Say what a running runner lacks for a repository that `prepare` could clone."""
    if remote.protocol == "ssh":
        lacks = "it has no ssh key while it runs"
    elif remote.host and not any(each in remote.host for each in _TOKEN_HEADERS):
        lacks = "it sends a token only to hosts that are called github or gitlab"
    else:
        return outcome
    text = f"{outcome.reason}; {lacks}, and `prepare` clones it in the next pod"
    return Failed(text) if isinstance(outcome, Failed) else outcome


def _judge_clone(folder: Path, branch: str) -> Outcome:
    """Look at what the runner has cloned: a checkout that fails is answered like any other."""
    if not is_repository(folder):
        return Failed("the runner has answered that it was cloned, and there is no repository")
    head = read_branch(folder)
    if branch and head not in {"", branch}:
        text = f"the runner has cloned it, but left it at branch `{head}` instead of `{branch}`"
        return Waiting(f"{text}: switch it in the session", NEVER)
    return Done("the agent's tools list it as an extra folder from the next start on")


def _identify(folder: Path) -> tuple[int, int] | None:
    """Return what differs once a folder was replaced by another one of the same name."""
    try:
        status = folder.lstat()
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns


def _is_called_active(answer: Answer) -> bool:
    body = answer.json()
    message = body.get("message") if isinstance(body, dict) else None
    return isinstance(message, str) and "already active" in message


def _describe_refusal(answer: Answer) -> str:
    body = answer.json()
    detail = body.get("detail") if isinstance(body, dict) else None
    more = f": {detail[:_LONGEST_DETAIL]}" if isinstance(detail, str) else ""
    return f"the runner has answered {answer.status}{more}"
