"""The runs of a session: one at a time, in order, each read to the end of its stream.

A run went well if RUN_FINISHED says `result.is_error: false` and nothing comes after it. Without a
result, with RUN_ERROR, or with a stream that breaks it did not. An interrupted run ends with
RUN_FINISHED and `is_error: true`. How long a run takes is not limited: one that says nothing is
reported, since a silent inference of an hour looks the same.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol

from reconcile.runner.client import Event, RunnerClient, RunnerError
from reconcile.runner.metrics import Metrics
from reconcile.runtime.logging import Logger

LONGEST_QUEUE: Final = 16
"""Runs that may wait: a program of the agent can ask for any number."""

_LONGEST_MESSAGE: Final = 500

EndKind = Literal["finished", "failed", "error", "interrupted", "cut-off", "broken", "refused"]
"""How a run ended: `error` is RUN_ERROR, `cut-off` RUN_FINISHED without a result, `broken` a stream
that ended before, `refused` a run that the runner never accepted."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended; the message is masked, and empty if it went well."""

    ok: bool
    message: str = ""
    kind: EndKind = "finished"


@dataclass(frozen=True, slots=True)
class RunsState:
    """What is known of the runs of this process.

    `last_event` is the monotonic time of the last event, or of the start. `first_run_failed` is
    true if the pod's first run ended with RUN_ERROR. `is_silent` is true if the open run has said
    nothing for the stated time.
    """

    open: bool = False
    queued: int = 0
    finished: int = 0
    failed: int = 0
    last_event: float = 0.0
    last_end: RunEnd | None = None
    first_run_failed: bool = False
    is_silent: bool = False


class EventSink(Protocol):
    """Keeps the events of runs."""

    def append(self, fields: Mapping[str, Any]) -> None:
        """Keep an event."""
        ...

    async def flush(self) -> None:
        """Write what is kept, all of it; never raises."""
        ...


class QueueFullError(Exception):
    """More runs wait than are kept, or no more runs are taken."""


@dataclass(slots=True, eq=False)
class Run:
    """A run that was asked for.

    `accepted` is done when the runner has accepted the run, or has a RunnerError; `ended` is done
    at its end.
    """

    body: Mapping[str, Any]
    accepted: asyncio.Future[None]
    ended: asyncio.Future[RunEnd]
    is_interrupted: bool = False

    async def wait_accepted(self) -> None:
        """Wait until the runner has accepted the run; raises RunnerError if it did not."""
        await asyncio.shield(self.accepted)

    async def wait_ended(self) -> RunEnd:
        """Wait until the run has ended."""
        return await asyncio.shield(self.ended)


@dataclass(frozen=True, slots=True)
class RunsOptions:
    """How runs are watched.

    `mask` removes secrets from messages of the runner. `has_run` says that this pod had a run in
    another process, so that the first one here is not its first; `record_run` is called for that.
    """

    logger: Logger
    events: EventSink
    metrics: Metrics = field(default_factory=Metrics)
    silent_seconds: float = 120.0
    has_run: bool = False
    record_run: Callable[[], None] = lambda: None
    mask: Callable[[str], str] = lambda text: text
    monotonic: Callable[[], float] = time.monotonic


class Runs:
    """Does runs one after the other, while `run` is running."""

    def __init__(self, client: RunnerClient, options: RunsOptions) -> None:
        self._client = client
        self._options = options
        self._waiting: deque[Run] = deque()
        self._current: Run | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_closed = False
        self._turn = asyncio.Lock()
        self._state = RunsState(last_event=options.monotonic())

    @property
    def has_open_run(self) -> bool:
        """Whether a run is open, or waits."""
        return not self._idle.is_set()

    @property
    def is_closed(self) -> bool:
        """Whether no more runs are taken."""
        return self._is_closed

    @property
    def state(self) -> RunsState:
        """The state now."""
        is_open = self._current is not None and self._current.accepted.done()
        queued = len(self._waiting) + (self._current is not None and not is_open)
        return replace(self._state, open=is_open, queued=queued)

    def enqueue(self, body: Mapping[str, Any]) -> Run:
        """Let a run wait for its turn.

        Raises:
            QueueFullError: Too many wait, or no more are taken.
        """
        if self._is_closed:
            raise QueueFullError("the session is ending: no more runs are taken")
        if len(self._waiting) >= LONGEST_QUEUE:
            raise QueueFullError(f"{LONGEST_QUEUE} runs are waiting: try again when one has ended")
        loop = asyncio.get_running_loop()
        run = Run(body, loop.create_future(), loop.create_future())
        # A refusal that is not waited for is in the log.
        run.accepted.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting.append(run)
        self._idle.clear()
        self._wake.set()
        return run

    async def submit(self, body: Mapping[str, Any]) -> Run:
        """Let a run wait for its turn, and return when the runner has accepted it.

        Raises:
            QueueFullError: Too many wait, or no more are taken.
            RunnerError: The runner refused the run, or cannot be reached.
        """
        run = self.enqueue(body)
        await run.wait_accepted()
        return run

    async def interrupt(self) -> None:
        """Interrupt the open run, if there is one; one that cannot be interrupted goes on."""
        if self._current is None:
            return
        self._current.is_interrupted = True
        with suppress(RunnerError):
            await self._client.interrupt(str(self._current.body.get("threadId") or ""))

    def close(self) -> None:
        """Take no more runs; those that wait are refused."""
        self._is_closed = True
        while self._waiting:
            ending = RunnerError("the session is ending", is_refused=True)
            self._refuse(self._waiting.popleft(), ending)
        if self._current is None:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Wait until no run is open and none waits."""
        await self._idle.wait()

    async def run(self) -> None:
        """Do runs until this is cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                async with self._turn:
                    await self._execute_next()
            self._idle.set()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Let no run begin in the block, such as while the runner is changed."""
        async with self._turn:
            yield

    async def _execute_next(self) -> None:
        if self._waiting:
            self._current = self._waiting.popleft()
            await self._execute(self._current)
            self._current = None

    async def _execute(self, run: Run) -> None:
        verdict = _Verdict()
        silence = _Silence(self._options.silent_seconds, self._report_silence)
        try:
            stream = self._client.run(run.body, lambda: self._accept(run, silence))
            async with aclosing(stream) as events:
                async for event in events:
                    silence.reset()
                    self._observe(event)
                    verdict.add(event)
        except RunnerError as error:
            verdict.break_stream(str(error))
            if not run.accepted.done():
                self._refuse(run, error)
                return
        finally:
            silence.stop()
        await self._options.events.flush()
        self._finish(run, verdict.decide(is_interrupted=run.is_interrupted))

    def _accept(self, run: Run, silence: "_Silence") -> None:
        self._touch()
        silence.start()
        if not run.accepted.done():
            run.accepted.set_result(None)
        self._options.record_run()
        self._options.logger.info("run started", run=_name(run))

    def _observe(self, event: Event) -> None:
        self._touch()
        self._options.events.append(event.fields)

    def _touch(self) -> None:
        self._state = replace(self._state, last_event=self._options.monotonic(), is_silent=False)

    def _report_silence(self) -> None:
        self._state = replace(self._state, is_silent=True)
        self._options.logger.warning(
            "the open run says nothing",
            seconds=self._options.silent_seconds,
            run=_name(self._current) if self._current else "",
        )

    def _refuse(self, run: Run, error: RunnerError) -> None:
        text = self._mask(str(error))
        if not run.accepted.done():
            run.accepted.set_exception(error)
        run.ended.set_result(RunEnd(ok=False, message=text, kind="refused"))
        self._options.logger.warning("run refused", run=_name(run), error=text)

    def _finish(self, run: Run, end: RunEnd) -> None:
        end = replace(end, message=self._mask(end.message))
        before = self._state
        is_first = before.finished + before.failed == 0 and not self._options.has_run
        self._state = replace(
            before,
            finished=before.finished + end.ok,
            failed=before.failed + (not end.ok),
            last_end=end,
            first_run_failed=before.first_run_failed or (is_first and end.kind == "error"),
            last_event=self._options.monotonic(),
            is_silent=False,
        )
        self._options.metrics.count("runs", "finished" if end.ok else "failed")
        log = self._options.logger.info if end.ok else self._options.logger.warning
        log("run ended", run=_name(run), result=end.kind, message=end.message)
        run.ended.set_result(end)

    def _mask(self, text: str) -> str:
        return self._options.mask(text)[:_LONGEST_MESSAGE]


def _name(run: Run) -> str:
    return str(run.body.get("runId", ""))[:100]


class _Verdict:
    """Decides from the events of one run how it ended."""

    def __init__(self) -> None:
        self._last: Event | None = None
        self._finished: Event | None = None
        self._broken = ""

    def add(self, event: Event) -> None:
        self._last = event
        if event.type == "RUN_FINISHED":
            self._finished = event

    def break_stream(self, message: str) -> None:
        self._broken = message

    def decide(self, *, is_interrupted: bool) -> RunEnd:
        last = self._last
        if last is not None and last.type == "RUN_ERROR":
            return RunEnd(ok=False, message=str(last.fields.get("message", "")), kind="error")
        if self._finished is None or self._broken:
            text = self._broken or "the stream ended without RUN_FINISHED"
            return RunEnd(ok=False, message=text, kind="broken")
        if last is not self._finished:
            return RunEnd(ok=False, message="events came after RUN_FINISHED", kind="failed")
        return _judge_result(self._finished.fields.get("result"), is_interrupted=is_interrupted)


def _judge_result(result: object, *, is_interrupted: bool) -> RunEnd:
    if not isinstance(result, dict):
        return RunEnd(ok=False, message="RUN_FINISHED has no result: cut off", kind="cut-off")
    if result.get("is_error") is False:
        return RunEnd(ok=True)
    text = str(result.get("result") or result.get("subtype") or "the result is an error")
    return RunEnd(ok=False, message=text, kind="interrupted" if is_interrupted else "failed")


class _Silence:
    """Calls back once when nothing has happened for some seconds; one timer, however many events.

    The timer is not moved at each event: when it is due it is set again for the rest of the time.
    """

    def __init__(self, seconds: float, report: Callable[[], None]) -> None:
        self._seconds = seconds
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._last = self._loop.time()
        self._timer = self._loop.call_later(self._seconds, self._check)

    def reset(self) -> None:
        self._last = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._check)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        remaining = self._last + self._seconds - self._loop.time()
        if remaining > 0:
            self._timer = self._loop.call_later(remaining, self._check)
        else:
            self._timer = None
            self._report()
