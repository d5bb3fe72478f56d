"""Prepares a workspace for the agent, before the runner starts: folders, state, repositories.

`hydrate` has restored what an earlier pod stored. None of it is changed, except what would keep the
runner from starting or answering: that is moved aside, or removed from the file of conversations.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import orjson

from reconcile.runner.clone import (
    Cloner,
    CloneSettings,
    Outcome,
    Source,
    State,
    remove_leftovers,
)
from reconcile.runner.conversation import IDS_FILE, repair_conversations
from reconcile.runner.credentials import Credentials
from reconcile.runner.folders import ensure_folder, open_folder
from reconcile.runner.inputs import Inputs, InputsError, read_inputs
from reconcile.runner.masking import Masker
from reconcile.runner.pod import write_message
from reconcile.runner.remote import list_url_secrets
from reconcile.runner.session_dir import NAME as SESSION_DIR
from reconcile.runner.session_dir import SessionDir, SessionDirError
from reconcile.runner.space import Space
from reconcile.runtime.clock import SystemClock
from reconcile.runtime.logging import JsonLogger

REPOSITORIES: Final = "repos"
WORKFLOWS: Final = "workflows"
FAILED: Final = State.FAILED
_ORDER: Final = {State.FAILED: 0, State.READY: 1, State.RESTORED: 2}
_FOLDERS: Final = ("artifacts", "file-uploads", REPOSITORIES, WORKFLOWS)
_CLAUDE: Final = ".claude"
_DEBUG: Final = "debug"
_PROMPTS_FILE: Final = "prompt.json"
_PARALLEL_CLONES: Final = 4
_LONGEST_REASON: Final = 300
_LONGEST_ID: Final = 64
_CUT_OFF: Final = frozenset({"open", "interrupted"})
"""How the last run is marked if nothing has followed it: an earlier pod may have seen it, too."""


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """What `prepare` works with.

    Attributes:
        workspace: The workspace.
        inputs: The mounted inputs.
        state_dir: The runner's state directory, relative to the workspace.
        state: A folder that the agent does not see.
        credentials: The declared credentials.
        termination_log: The file for the termination message.
        environ: The environment of this process.
        allowed_hosts: Patterns of the hosts of repositories; empty for all.
        ca_file: Certificates to trust instead of the machine's, if there is such a file.
        clone_seconds: The time for each repository.
        max_bytes: The size of the workspace; 0 for no limit.
        fails: Whether a failure is one of the program, so that the runner does not start.
        allow_files: Whether `file:` URLs are cloned, which tests need.
    """

    workspace: Path
    inputs: Path
    state_dir: str
    state: Path
    credentials: Credentials
    termination_log: Path
    environ: Mapping[str, str] = field(repr=False)
    allowed_hosts: tuple[str, ...] = ()
    ca_file: Path | None = None
    clone_seconds: float = 600.0
    max_bytes: int = 0
    fails: bool = True
    allow_files: bool = False


def run_prepare(options: PrepareOptions) -> int:
    """Prepare the workspace, log each step, and write the termination message.

    Returns:
        0, or 1 if something failed and `fails` is set.
    """
    clock = SystemClock()
    try:
        return _Preparation(options, clock).run()
    finally:
        clock.stop()


class _Preparation:
    """One run, and what it has done so far; `problems` are failures that concern no repository."""

    def __init__(self, options: PrepareOptions, clock: SystemClock) -> None:
        self._options = options
        self._clock = clock
        self._logger = JsonLogger(clock.time_ns)
        self._masker = Masker(options.credentials.list_secrets())
        self._problems: list[str] = []
        self._outcomes: list[Outcome] = []
        self._removed: list[str] = []
        self._moved: list[str] = []
        self._was_interrupted = False

    def run(self) -> int:
        options = self._options
        inputs = self._read_inputs()
        try:
            with open_folder(options.workspace) as top:
                self._prepare_folders(top)
                self._check_interrupted(top)
                remove_leftovers(top)
                self._clone_all(inputs)
                remove_leftovers(top)
        except OSError as error:
            self._report_problem(f"the workspace cannot be prepared: {error.strerror}")
        write_message(options.termination_log, self._build_message())
        has_failed = self._problems or any(each.state is FAILED for each in self._outcomes)
        return int(options.fails and bool(has_failed))

    def _read_inputs(self) -> Inputs:
        try:
            inputs = read_inputs(self._options.inputs)
        except InputsError as error:
            self._report_problem(str(error))
            return Inputs()
        urls = [each.url for each in _list_sources(inputs)]
        in_urls = (secret for url in urls for secret in list_url_secrets(url))
        self._masker.learn([*self._options.credentials.list_secrets(), *in_urls])
        return inputs

    def _prepare_folders(self, top: int) -> None:
        for name in _FOLDERS:
            self._ensure_folder(name, top, name)
        with ExitStack() as stack:
            folder, path = top, ""
            for part in self._options.state_dir.split("/"):
                path = f"{path}/{part}" if path else part
                self._ensure_folder(part, folder, path)
                folder = stack.enter_context(open_folder(part, folder))
            if path == _CLAUDE:
                self._ensure_folder(_DEBUG, folder, f"{path}/{_DEBUG}")
            self._repair_conversations(folder)

    def _ensure_folder(self, name: str, parent: int, path: str) -> None:
        if ensure_folder(name, parent):
            self._report_moved(path)

    def _repair_conversations(self, state_dir: int) -> None:
        try:
            repair = repair_conversations(state_dir)
        except OSError as error:
            self._report_problem(f"{IDS_FILE} cannot be repaired: {error.strerror}")
            return
        if repair.moved:
            self._report_moved(f"{self._options.state_dir}/{IDS_FILE}")
        for each in repair.removed:
            shown = self._mask(each[:_LONGEST_ID])
            self._removed.append(shown)
            self._logger.warning("conversation is gone, its id is removed", id=shown)

    def _check_interrupted(self, top: int) -> None:
        with os.scandir(top) as entries:
            if all(each.name != SESSION_DIR for each in entries):
                return
        self._ensure_folder(SESSION_DIR, top, SESSION_DIR)
        try:
            prompts: Any = orjson.loads(
                SessionDir(self._options.workspace).read(_PROMPTS_FILE) or b"{}"
            )["prompts"]
            self._was_interrupted = prompts[-1]["run"] in _CUT_OFF
        except (SessionDirError, ValueError, LookupError, TypeError):
            return  # the agent may have changed the file: the bridge says what is wrong with it
        if self._was_interrupted:
            self._logger.warning("an earlier run was cut off")

    def _clone_all(self, inputs: Inputs) -> None:
        sources: dict[str, Source] = {}
        for source in _list_sources(inputs):
            if sources.setdefault(_path_of(source), source) is not source:
                self._report_outcome(Outcome(source, FAILED, "another repository has this name"))
        if not sources:
            return
        options = self._options
        options.state.mkdir(parents=True, exist_ok=True)
        space = Space(options.workspace, options.max_bytes, self._clock.monotonic)
        cloner = Cloner(_build_settings(options), space, self._clock)
        with ThreadPoolExecutor(_PARALLEL_CLONES) as threads:
            try:
                for outcome in threads.map(cloner.clone, sources.values()):
                    self._report_outcome(outcome)
            finally:
                self._clock.stop()

    def _report_outcome(self, outcome: Outcome) -> None:
        reason = self._mask(outcome.reason)
        self._outcomes.append(replace(outcome, reason=reason))
        log = self._logger.warning if outcome.state is FAILED else self._logger.info
        path = _path_of(outcome.source)
        log("repository", path=path, state=outcome.state.value, reason=reason)
        if outcome.moved:
            self._report_moved(path)

    def _report_moved(self, path: str) -> None:
        self._moved.append(path)
        self._logger.warning("moved aside, since it is not what its name says", path=path)

    def _report_problem(self, text: str) -> None:
        self._problems.append(self._mask(text))
        self._logger.warning("failed", reason=self._mask(text))

    def _mask(self, text: str) -> str:
        """Mask secrets, and escape what no JSON text may have."""
        return self._masker.mask(text.encode("utf-8", "backslashreplace").decode())

    def _build_message(self) -> dict[str, Any]:
        """What matters most comes first, since the end may be cut."""
        described = [
            (each.state is not FAILED, each.source.folder, _describe(each))
            for each in sorted(self._outcomes, key=lambda each: _ORDER[each.state])
        ]
        workflow = [(ok, each) for ok, folder, each in described if folder == WORKFLOWS]
        fields = [
            ("problem", "; ".join(self._problems)[:_LONGEST_REASON]),
            ("interruptedRun", self._was_interrupted),
            *(("workflow", each) for ok, each in workflow if not ok),
            ("repositories", [each for _, folder, each in described if folder == REPOSITORIES]),
            *(("workflow", each) for ok, each in workflow if ok),
            ("movedAside", self._moved),
            ("removedConversations", self._removed),
        ]
        return {name: value for name, value in fields if value}


def _list_sources(inputs: Inputs) -> Iterator[Source]:
    for each in inputs.repositories:
        yield Source(REPOSITORIES, each.name, each.url, each.branch)
    if inputs.workflow is not None:
        workflow = inputs.workflow
        yield Source(WORKFLOWS, workflow.name, workflow.url, workflow.branch, workflow.path)


def _build_settings(options: PrepareOptions) -> CloneSettings:
    return CloneSettings(
        options.workspace,
        options.state,
        options.credentials,
        options.environ,
        options.allowed_hosts,
        options.ca_file,
        options.clone_seconds,
        options.allow_files,
    )


def _path_of(source: Source) -> str:
    return f"{source.folder}/{source.name}"


def _describe(outcome: Outcome) -> dict[str, str]:
    described = {"name": outcome.source.name, "state": outcome.state.value}
    reason = outcome.reason[:_LONGEST_REASON]
    return {**described, "reason": reason} if reason else described
