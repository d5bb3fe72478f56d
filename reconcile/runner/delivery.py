"""Delivers the prompt of a session once for each state of its workspace.

The platform's runner posts its own prompt at every start. It is passed on if `.session/prompt.json`
does not say that this prompt was delivered: by its digest, which is that of the prompt and the
workflow as declared, since the runner puts the workflow's own prompt before ours. The mark is
written before the run is started, and removed only if no runner has accepted the run.

A prompt that is too long for a variable, one that changes while the session is running, and one
that the runner does not ask for are posted by the bridge itself.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, TypeVar

from reconcile.runner.client import RunnerClient, RunnerError
from reconcile.runner.inputs import Inputs, InputsError, Workflow, read_inputs
from reconcile.runner.metrics import Metrics
from reconcile.runner.prompt import (
    CONTINUE_MESSAGE,
    CONTINUE_SOURCE,
    PROMPT_SOURCE,
    DeliveryError,
    build_body,
    compose_prompt,
    digest_content,
    is_declared,
)
from reconcile.runner.prompt_file import Mark, PromptFile, RunState
from reconcile.runner.runs import QueueFullError, Run, RunEnd, Runs
from reconcile.runner.session_dir import SessionDirError
from reconcile.runtime.backoff import Backoff
from reconcile.runtime.clock import utc_now
from reconcile.runtime.logging import Logger

_POLL_SECONDS: Final = 1.0
_Value = TypeVar("_Value")
_PASSING: Final = (RunnerError, QueueFullError, SessionDirError, InputsError)


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """How prompts are delivered.

    Attributes:
        session: The thread of all runs.
        pod_uid: The pod that the marks are written for.
        inputs: The mounted inputs.
        workspace: Where the workflow's own prompt is.
        on_interrupted: What follows a run that was under way when its pod ended.
        seconds: How long a delivery may fail, from when the runner has started.
        start_seconds: How long the runner may take to start; its image is pulled meanwhile.
        call_seconds: How long to wait for the runner's own call once it is healthy.
        backoff: Delays between attempts.
    """

    session: str
    pod_uid: str
    inputs: Path
    workspace: Path
    on_interrupted: Literal["Wait", "Continue"] = "Wait"
    seconds: float = 300.0
    start_seconds: float = 3600.0
    call_seconds: float = 30.0
    backoff: Backoff = field(default=Backoff(1.0, 15.0))


class Delivery:
    """Delivers prompts, while `run` is running.

    Attributes:
        is_delivered: Whether the prompt of the start is delivered, or there is none.
        has_started: Whether the runner has started.
        failure: Why a prompt could not be delivered in the time for it; empty if none failed.
    """

    def __init__(
        self,
        clients: tuple[RunnerClient, Runs],
        marks: PromptFile,
        options: DeliveryOptions,
        logger: Logger,
        metrics: Metrics,
    ) -> None:
        self._runner, self._runs = clients
        self._marks = marks
        self._options = options
        self._logger = logger
        self._metrics = metrics
        self._posted: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(maxsize=4)
        self._first_done = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._one_write = asyncio.Lock()
        self._trackers: set[asyncio.Task[None]] = set()
        self._workflow: Workflow | None = None
        self._is_stopped = False
        self.is_delivered = False
        self.has_started = False
        self.failure = ""

    async def handle_posted_prompt(self, body: Mapping[str, Any]) -> None:
        """Take the runner's own call; returns at once, since the runner waits for the answer."""
        # A call that finds no place is one of many; the runner makes one.
        with suppress(asyncio.QueueFull):
            self._posted.put_nowait(body)

    def follow(self, run: Run) -> None:
        """Take an interrupted prompt for finished once a run that a person asked for ends well."""
        self._start_tracking(self._track_message(run))

    def stop(self) -> None:
        """Deliver nothing more, and leave runs that end now marked as open: the pod is ending."""
        self._is_stopped = True

    async def deliver(self, inputs: Inputs) -> None:
        """Deliver a prompt that has changed; returns when the runner has accepted it.

        Raises:
            DeliveryError: It could not be delivered in the time for it.
        """
        await self._first_done.wait()
        if self.failure:
            raise DeliveryError(self.failure)
        is_same_workflow = inputs.workflow == self._workflow
        text = inputs.prompt.strip() if is_same_workflow else self._compose(inputs)
        if text and inputs.prompt_digest:
            await self._deliver(inputs.prompt_digest, self._build_body(text), self._deadline())
        self._workflow = inputs.workflow

    async def run(self) -> None:
        """Deliver the first prompt, continue an interrupted run, then take the runner's calls."""
        try:
            await self._begin()
        except DeliveryError:
            return
        finally:
            self._first_done.set()
        while True:
            await self._serve(await self._posted.get())

    async def _begin(self) -> None:
        deadline = self._deadline()
        inputs = await self._retry(self._read, deadline)
        interrupted = await self._retry(lambda: self._end_open_marks(inputs), deadline)
        self._workflow = inputs.workflow
        if self._is_due(inputs):
            await self._wait_for_start(self._now() + self._options.start_seconds)
            await self._deliver_first(inputs, self._deadline())
        elif interrupted is not None and self._options.on_interrupted == "Continue":
            await self._wait_for_start(self._now() + self._options.start_seconds)
            await self._continue(interrupted, self._deadline())
        self.is_delivered = True
        await self._wait_for_start()

    async def _wait_for_start(self, deadline: float = math.inf) -> None:
        while not self.has_started and not await self._runner.is_listening():
            if self._now() >= deadline:
                self._fail(f"the runner has not started for {self._options.start_seconds:g} s")
            await asyncio.sleep(_POLL_SECONDS)
        self.has_started = True

    def _is_due(self, inputs: Inputs) -> bool:
        digest = inputs.prompt_digest
        return bool(digest and not self._marks.find(digest) and self._compose(inputs))

    async def _read(self) -> Inputs:
        return await asyncio.to_thread(read_inputs, self._options.inputs)

    async def _end_open_marks(self, inputs: Inputs) -> Mark | None:
        """Mark runs whose end was not seen as interrupted, and return the one to continue.

        A pod that was lost before it could continue a run has left it as interrupted, too.
        """
        await self._store(self._marks.load)
        if self._marks.damaged:
            await self._replace_damaged(inputs.prompt_digest)
        for mark in [each for each in self._marks.marks if each.run == "open"]:
            await self._store(self._marks.set_run, mark.digest, "interrupted")
            is_same_pod = mark.pod_uid == self._options.pod_uid
            self._logger.warning(
                "run interrupted",
                delivered=mark.delivered,
                reason="the bridge was started again, and the run's end was not seen"
                if is_same_pod
                else "its pod ended",
                next=self._options.on_interrupted,
            )
        last = self._marks.find_interrupted()
        return last if last is not None and self._may_continue(last) else None

    def _may_continue(self, mark: Mark) -> bool:
        """A pod continues a run once, however often its bridge is started again."""
        return not (mark.is_continued and mark.pod_uid == self._options.pod_uid)

    async def _replace_damaged(self, digest: str) -> None:
        """Take a prompt for delivered if its mark was there once and cannot be read."""
        self._logger.warning(
            "prompt.json is damaged: the prompt is not delivered again",
            fix="to have it delivered, delete .session/prompt.json and replace the pod",
        )
        if digest:
            mark = Mark(digest, utc_now(), self._options.pod_uid, "interrupted")
            await self._store(self._marks.put, mark)

    async def _deliver_first(self, inputs: Inputs, deadline: float) -> None:
        posted = None if inputs.is_long_prompt else await self._wait_for_call(deadline)
        # They may have changed while this waited.
        inputs = await self._retry(self._read, deadline)
        self._workflow = inputs.workflow
        if posted is None or not is_declared(inputs, posted):
            self._logger.info("the bridge sends the prompt itself", long=inputs.is_long_prompt)
            posted = self._build_body(self._compose(inputs))
        if self._is_due(inputs):
            await self._deliver(inputs.prompt_digest, posted, deadline)

    async def _wait_for_call(self, deadline: float) -> Mapping[str, Any] | None:
        """Wait for the runner's own call; None if it is healthy and does not call."""
        healthy_since: float | None = None
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    return await self._posted.get()
            now = self._now()
            if healthy_since is None and await self._runner.is_healthy():
                healthy_since = now
            if healthy_since is not None and now - healthy_since >= self._options.call_seconds:
                return None
            if healthy_since is None and now >= deadline:
                self._fail(
                    f"the runner has not answered its health check for {self._options.seconds:g} s"
                )

    async def _serve(self, body: Mapping[str, Any]) -> None:
        """Handle a call of the runner after the first prompt, most often a repeated one."""
        try:
            inputs = await self._read()
        except InputsError as error:
            self._logger.warning("the runner's prompt is not passed on", error=str(error))
            return
        digest = inputs.prompt_digest or digest_content(body)
        if not is_declared(inputs, body):
            self._metrics.count("prompt_deliveries", "repeated")
            return
        with suppress(DeliveryError):
            await self._deliver(digest, body, self._deadline())

    async def _continue(self, mark: Mark, deadline: float) -> None:
        body = self._build_body(CONTINUE_MESSAGE, CONTINUE_SOURCE)
        changed = replace(mark, pod_uid=self._options.pod_uid, run="open", is_continued=True)
        await self._attempt_until(changed, body, deadline)

    async def _deliver(self, digest: str, body: Mapping[str, Any], deadline: float) -> None:
        async with self._one_at_a_time:
            if self._marks.find(digest):
                self._metrics.count("prompt_deliveries", "repeated")
                return
            mark = Mark(digest, utc_now(), self._options.pod_uid)
            await self._attempt_until(mark, body, deadline)

    async def _attempt_until(self, mark: Mark, body: Mapping[str, Any], deadline: float) -> None:
        """Attempt until the runner has accepted the run, or the time is over."""
        failures = 0
        while True:
            try:
                await self._attempt(mark, body)
            except _PASSING as error:
                failures += 1
                await self._wait_or_fail(error, failures, deadline)
            else:
                return

    async def _attempt(self, mark: Mark, body: Mapping[str, Any]) -> None:
        """Write the mark, then start the run; the mark of a run that was refused is taken back."""
        if not await self._runner.is_healthy():
            raise RunnerError("the runner does not answer its health check", is_refused=True)
        before = self._marks.find(mark.digest)
        await self._store(self._marks.put, mark)
        try:
            run = await self._runs.submit(body)
        except (RunnerError, QueueFullError) as error:
            if _is_refused(error):
                await self._store(self._marks.restore, mark.digest, before)
            raise
        self._metrics.count("prompt_deliveries", "delivered")
        self._logger.info("prompt delivered", digest=mark.digest[:12])
        self._start_tracking(self._track(mark.digest, run))

    async def _wait_or_fail(self, error: Exception, failures: int, deadline: float) -> None:
        if not _is_refused(error):
            # The runner may have begun: the prompt is not sent again, and its mark stays.
            self._fail(str(error))
        self._metrics.count("prompt_deliveries", "refused")
        delay = self._options.backoff.delay(failures, 1.0)
        if self._is_stopped or self._now() + delay > deadline:
            self._fail(f"{error}; tried {failures} times in {self._options.seconds:g} s")
        self._logger.warning("prompt not delivered", error=str(error), again_in_seconds=delay)
        await asyncio.sleep(delay)

    def _fail(self, reason: str) -> NoReturn:
        if self._is_stopped:
            raise DeliveryError("the pod is ending")
        self._metrics.count("prompt_deliveries", "failed")
        self.failure = f"the prompt was not delivered: {reason}"
        self._logger.warning("prompt delivery failed", error=reason)
        raise DeliveryError(self.failure)

    async def _track(self, digest: str, run: Run) -> None:
        """Write how a prompt's run ended; what was cut off stays open for the next start."""
        end = await run.wait_ended()
        if _is_end_known(end) and (end.ok or not self._is_stopped):
            await self._mark_end(digest, "finished" if end.ok else "failed")

    async def _track_message(self, run: Run) -> None:
        end = await run.wait_ended()
        interrupted = self._marks.find_interrupted()
        if end.ok and interrupted is not None:
            await self._mark_end(interrupted.digest, "finished")

    async def _mark_end(self, digest: str, state: RunState) -> None:
        try:
            await self._store(self._marks.set_run, digest, state)
        except SessionDirError as error:
            self._logger.warning("the end of the run is not marked", error=str(error))

    def _start_tracking(self, work: Coroutine[Any, Any, None]) -> None:
        tracker = asyncio.create_task(work)
        self._trackers.add(tracker)
        tracker.add_done_callback(self._trackers.discard)

    async def _retry(self, read: Callable[[], Awaitable[_Value]], deadline: float) -> _Value:
        failures = 0
        while True:
            try:
                return await read()
            except _PASSING as error:
                failures += 1
                delay = self._options.backoff.delay(failures, 1.0)
                if self._now() + delay > deadline:
                    self._fail(str(error))
                self._logger.warning("prompt not delivered", error=str(error))
                await asyncio.sleep(delay)

    async def _store(self, change: Callable[..., None], *arguments: Any) -> None:
        """Read or write the file of marks, one change at a time, without stopping the loop."""
        async with self._one_write:
            await asyncio.to_thread(change, *arguments)

    def _compose(self, inputs: Inputs) -> str:
        return compose_prompt(self._options.workspace, inputs)

    def _build_body(self, text: str, source: str = PROMPT_SOURCE) -> dict[str, Any]:
        return build_body(self._options.session, text, source)

    def _deadline(self) -> float:
        return self._now() + self._options.seconds

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _is_end_known(end: RunEnd) -> bool:
    return end.kind in {"finished", "failed", "error"}


def _is_refused(error: Exception) -> bool:
    """Whether an attempt has had no effect."""
    return not isinstance(error, RunnerError) or error.is_refused
