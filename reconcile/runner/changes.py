"""Applies inputs that change while the session is running.

The mounted ConfigMap is looked at once a second. A change is made once no run is open or waits,
since the runner would cut an open run off; always the newest inputs are applied. What became of
each change is in `.session/inputs.json`; a new prompt is delivered after all other changes.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, assert_never

from reconcile.runner.change_plan import (
    PREPARED_FILE,
    AddRepository,
    Applied,
    DeliverPrompt,
    RemoveRepository,
    SetModel,
    SetWorkflow,
    Step,
    SwitchBranch,
    applied_from,
    describe_step,
    encode_applied,
    parse_applied,
    plan_steps,
    record_step,
)
from reconcile.runner.change_steps import (
    NEVER,
    Done,
    Failed,
    Outcome,
    Poster,
    Steps,
    StepSettings,
    Waiting,
)
from reconcile.runner.credentials import Credentials
from reconcile.runner.input_states import InputStates, ItemState
from reconcile.runner.inputs import Inputs, InputsError, read_inputs
from reconcile.runner.probe import Probe
from reconcile.runner.prompt import DeliveryError
from reconcile.runner.runs import RunsState
from reconcile.runner.session_dir import SessionDir
from reconcile.runner.workflow_files import WorkflowFiles
from reconcile.runtime.backoff import Backoff
from reconcile.runtime.logging import Logger

_APPLIED_FILE: Final = "applied-inputs.json"
_SETTLE_SECONDS: Final = 5.0
_RETRY_FAILED: Final = 10.0
_RETRY_WAITING: Final = 2.0
"""Seconds until a step is attempted again if other inputs change, which they may each second."""

_OPEN_RUN: Final = "a run is under way; the change is made when it has ended"


class RunsView(Protocol):
    """What is known of the runs, and how none begins while a change is made."""

    @property
    def state(self) -> RunsState:
        """The state now."""
        ...

    @property
    def has_open_run(self) -> bool:
        """Whether a run is open, or waits."""
        ...

    def hold(self) -> AbstractAsyncContextManager[None]:
        """Let no run begin in the block."""
        ...


@dataclass(frozen=True, slots=True)
class ChangeOptions:
    """How inputs are applied.

    Attributes:
        logger: Where changes and problems are reported.
        mask: Removes secrets from a text.
        inputs: The mounted inputs.
        workspace: The workspace.
        state: A folder of this pod that the agent does not see.
        pod_uid: The UID of the pod.
        credentials: The declared credentials.
        allowed_hosts: Patterns of hosts of repositories; empty for all.
        ca_file: Certificates to trust instead of the machine's, if there is such a file.
        poll_seconds: How often to look at the inputs.
        clone_seconds: How long the runner may clone.
        allow_files: Whether `file:` URLs are cloned, which tests need.
        backoff: Delays after failed attempts.
        monotonic: The clock.
    """

    logger: Logger
    mask: Callable[[str], str]
    inputs: Path
    workspace: Path
    state: Path
    pod_uid: str
    credentials: Credentials
    allowed_hosts: tuple[str, ...] = ()
    ca_file: Path | None = None
    poll_seconds: float = 1.0
    clone_seconds: float = 600.0
    allow_files: bool = False
    backoff: Backoff = field(default=Backoff(initial=5.0, maximum=300.0))
    monotonic: Callable[[], float] = time.monotonic


class ChangeApplier:
    """Applies changes of the inputs, while `run` is running."""

    def __init__(
        self,
        options: ChangeOptions,
        client: Poster,
        runs: RunsView,
        deliver_prompt: Callable[[Inputs], Awaitable[None]],
    ) -> None:
        folder = SessionDir(options.workspace)
        self._options = options
        self._runs = runs
        self._deliver_prompt = deliver_prompt
        self._files = WorkflowFiles(options.workspace, folder)
        self._steps = Steps(_build_settings(options), client, self._files)
        self._states = InputStates(folder, options.mask, options.logger)
        self._watch = _Watch(options.inputs, options.monotonic)
        self._schedule = _Schedule(options.monotonic, options.backoff)
        self._inputs: Inputs | None = None
        self._is_unreadable = False
        self._applied: Applied | None = None

    async def run(self) -> None:
        """Look at the inputs until this is cancelled; no problem ends it."""
        while True:
            await self._look()
            await asyncio.sleep(self._options.poll_seconds)

    async def _look(self) -> None:
        if self._watch.has_changed():
            await self._read()
        if self._inputs is None or self._is_unreadable:
            await self._write_states()
            return
        if self._applied is None:
            self._applied = await asyncio.to_thread(self._load_applied, self._inputs)
        steps = plan_steps(self._applied, self._inputs)
        if steps:
            self._schedule.keep(steps, self._runs.state)
            await self._apply(steps, self._inputs)
        self._states.retain(describe_step(each) for each in steps)
        await self._write_states()

    async def _write_states(self) -> None:
        if self._states.is_changed:
            await asyncio.to_thread(self._states.write)

    async def _read(self) -> None:
        """Read the inputs; while they cannot be read, nothing is changed."""
        try:
            self._inputs = await asyncio.to_thread(read_inputs, self._options.inputs)
        except InputsError as error:
            self._is_unreadable = True
            self._states.put(ItemState("inputs", "", "failed", str(error)))
        else:
            self._is_unreadable = False
            self._schedule.hasten()

    def _load_applied(self, inputs: Inputs) -> Applied:
        """Return what the runner has: what this pod has applied, else what it was prepared for."""
        if inputs.workflow is not None:
            self._files.record_if_new(inputs.workflow.name)
        applied = self._read_applied(_APPLIED_FILE, self._options.pod_uid)
        if applied is None:
            applied = self._read_applied(PREPARED_FILE, "") or applied_from(inputs)
            self._store(applied)
        return applied

    def _read_applied(self, name: str, pod_uid: str) -> Applied | None:
        with suppress(OSError):
            return parse_applied((self._options.state / name).read_bytes(), pod_uid)
        return None

    def _store(self, applied: Applied) -> None:
        """Store it, so that a bridge that is started again does not take changes for applied."""
        path = self._options.state / _APPLIED_FILE
        temporary = path.with_suffix(".new")
        try:
            temporary.write_bytes(encode_applied(applied, self._options.pod_uid))
            temporary.replace(path)
        except OSError as error:
            self._options.logger.warning("applied inputs not stored", error=error.strerror)

    async def _apply(self, steps: tuple[Step, ...], inputs: Inputs) -> None:
        for step in steps:
            if not self._schedule.is_due(step):
                continue
            if self._runs.has_open_run:
                self._report(step, Waiting(_OPEN_RUN))
            elif isinstance(step, DeliverPrompt):
                await self._deliver(step, inputs)
            else:
                async with self._runs.hold():
                    await self._make(step)

    async def _make(self, step: Step) -> None:
        if self._runs.has_open_run:
            self._report(step, Waiting(_OPEN_RUN))
            return
        try:
            outcome = await self._perform(step)
        except OSError as error:
            outcome = Failed(f"the workspace cannot be read: {error.strerror}")
        await self._finish(step, outcome)

    async def _perform(self, step: Step) -> Outcome:
        match step:
            case RemoveRepository(repository, is_replaced):
                return await self._steps.remove_repository(repository, is_replaced=is_replaced)
            case AddRepository(repository):
                return await self._steps.add_repository(repository)
            case SwitchBranch(repository):
                return await self._steps.check_branch(repository)
            case SetWorkflow(workflow):
                return await self._steps.set_workflow(workflow)
            case SetModel(model):
                return await self._steps.set_model(model)
            case DeliverPrompt():
                raise AssertionError("a prompt is delivered by its own method")
            case _:
                assert_never(step)

    async def _deliver(self, step: DeliverPrompt, inputs: Inputs) -> None:
        """Deliver the new prompt once the agent has all that was declared with it."""
        assert self._applied is not None
        blocking = self._schedule.find_blocking(plan_steps(self._applied, inputs))
        if blocking is not None:
            kind, name = describe_step(blocking)
            self._report(step, Waiting(f"it is delivered after the change of {kind} {name}"))
            return
        try:
            await self._deliver_prompt(inputs)
        except DeliveryError as error:
            await self._finish(step, Failed(str(error)))
        else:
            await self._finish(step, Done())

    async def _finish(self, step: Step, outcome: Outcome) -> None:
        self._report(step, outcome)
        self._schedule.record(step, outcome)
        if isinstance(outcome, Done) and self._applied is not None:
            self._applied = record_step(self._applied, step)
            await asyncio.to_thread(self._store, self._applied)

    def _report(self, step: Step, outcome: Outcome) -> None:
        kind, name = describe_step(step)
        match outcome:
            case Done(reason):
                self._states.put(ItemState(kind, name, "done", reason))
            case Waiting(reason):
                self._states.put(ItemState(kind, name, "waiting", reason))
            case Failed(reason):
                self._states.put(ItemState(kind, name, "failed", reason))
            case _:
                assert_never(outcome)


def _build_settings(options: ChangeOptions) -> StepSettings:
    return StepSettings(
        workspace=options.workspace,
        credentials=options.credentials,
        probe=Probe(options.credentials, options.state, options.ca_file),
        allowed_hosts=options.allowed_hosts,
        clone_seconds=options.clone_seconds,
        allow_files=options.allow_files,
    )


class _Watch:
    """Notices that the mounted inputs have changed, without reading them.

    A change counts once it is there for two looks, so that several at once are applied together;
    inputs that change all the time count after some seconds.
    """

    def __init__(self, directory: Path, monotonic: Callable[[], float]) -> None:
        self._directory = directory
        self._monotonic = monotonic
        self._taken: object = None
        self._seen: object = None
        self._since = 0.0

    def has_changed(self) -> bool:
        """Whether the inputs are to be read now."""
        version = _find_version(self._directory)
        if version == self._taken:
            self._seen = version
            return False
        if self._seen == self._taken:
            self._since = self._monotonic()
        is_settled = version == self._seen or self._taken is None
        self._seen = version
        if is_settled or self._monotonic() - self._since >= _SETTLE_SECONDS:
            self._taken = version
            return True
        return False


def _find_version(directory: Path) -> object:
    """Return what differs between two versions: the kubelet's link, else times and sizes."""
    with suppress(OSError):
        return os.readlink(directory / "..data")  # noqa: PTH115 - compared as a text
    try:
        with os.scandir(directory) as entries:
            files = [(each.name, each.stat().st_mtime_ns, each.stat().st_size) for each in entries]
    except OSError as error:
        return error.errno
    return tuple(sorted(files))


@dataclass(slots=True)
class _Attempt:
    """The last attempt of a step."""

    outcome: Waiting | Failed
    due: float
    failures: int = 0


@dataclass(slots=True)
class _Schedule:
    """When each step that was attempted is attempted again."""

    monotonic: Callable[[], float]
    backoff: Backoff
    _attempts: dict[Step, _Attempt] = field(default_factory=dict)
    _ended_runs: int = 0

    def is_due(self, step: Step) -> bool:
        """Whether a step was never attempted, or is to be attempted again."""
        attempt = self._attempts.get(step)
        return attempt is None or self.monotonic() >= attempt.due

    def record(self, step: Step, outcome: Outcome) -> None:
        """Record how an attempt ended."""
        before = self._attempts.pop(step, None)
        match outcome:
            case Done():
                return
            case Waiting(seconds=seconds):
                self._attempts[step] = _Attempt(outcome, self.monotonic() + seconds)
            case Failed():
                failures = before.failures + 1 if before else 1
                due = self.monotonic() + self.backoff.delay(failures, 1.0)
                self._attempts[step] = _Attempt(outcome, due, failures)
            case _:
                assert_never(outcome)

    def keep(self, steps: tuple[Step, ...], runs: RunsState) -> None:
        """Forget steps that are not wanted any more; the end of a run may let others go on."""
        self._attempts = {step: each for step, each in self._attempts.items() if step in steps}
        ended = runs.finished + runs.failed
        if ended != self._ended_runs:
            self._ended_runs = ended
            for attempt in self._attempts.values():
                if isinstance(attempt.outcome, Waiting) and attempt.due != NEVER:
                    attempt.due = self.monotonic()

    def hasten(self) -> None:
        """Attempt all steps soon, since the inputs have changed."""
        for attempt in self._attempts.values():
            is_failed = isinstance(attempt.outcome, Failed)
            soon = self.monotonic() + (_RETRY_FAILED if is_failed else _RETRY_WAITING)
            if attempt.due != NEVER:
                attempt.due = min(attempt.due, soon)

    def find_blocking(self, steps: tuple[Step, ...]) -> Step | None:
        """Return a step that a new prompt waits for."""
        others = (each for each in steps if not isinstance(each, DeliverPrompt))
        return next((each for each in others if self._is_blocking(each)), None)

    def _is_blocking(self, step: Step) -> bool:
        attempt = self._attempts.get(step)
        if attempt is None or isinstance(attempt.outcome, Failed):
            return True
        return attempt.outcome.blocks_prompt
