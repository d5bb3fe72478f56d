"""The runs of the double: which worker gets a prompt, and which events its reader sees."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from tests.runner.double import platform
from tests.runner.double.conversation import Conversations
from tests.runner.double.settings import Settings
from tests.runner.double.worker import Answer, CutOff, Worker, stream_answer

Event = dict[str, Any]


class NoWorkerError(Exception):
    """There is nothing to interrupt: no run yet, an unknown thread, or a change since."""


@dataclass(slots=True)
class _Workers:
    """The workers between two changes, each with the lock that makes its runs wait."""

    by_thread: dict[str, Worker] = field(default_factory=dict)
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    def lock(self, thread: str) -> asyncio.Lock:
        return self.locks.setdefault(thread, asyncio.Lock())


@dataclass(slots=True)
class Agent:
    """Runs prompts, and is set up again after each change."""

    settings: Settings
    _workers: _Workers | None = None
    _is_ready: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def is_generating(self) -> bool:
        """Whether a run of the session is open; not known after a change during that run."""
        return self._workers is not None and self._workers.lock(self.settings.session).locked()

    def start_task(self, work: Any) -> None:
        """Run a coroutine in the background, until the end of the process."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def mark_changed(self) -> None:
        """Forget the workers: the next run starts its own, an open run is cut off after a time."""
        workers, self._workers, self._is_ready = self._workers, None, False
        if workers is not None:
            self.start_task(_stop_all(workers, self.settings.times.cut))

    def interrupt(self, thread: str) -> None:
        """Interrupt the open turn of a thread.

        Raises:
            NoWorkerError: There is no such thread.
        """
        worker = (self._workers or _Workers()).by_thread.get(thread or self.settings.session)
        if worker is None:
            raise NoWorkerError(f"no session for thread {thread}")
        worker.interrupt()

    async def stop(self) -> None:
        """End the workers and all tasks; called after all streams have been closed."""
        if self._workers is not None:
            await _stop_all(self._workers, self.settings.times.stop)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def run(self, asked: Event) -> AsyncIterator[Event]:
        """Run a prompt, and yield its events; it waits for the run before on the same thread."""
        ids = {"threadId": asked["threadId"], "runId": asked["runId"]}
        try:
            workers, worker = await self._prepare(asked["threadId"])
        except (platform.CredentialRefusedError, MissingKeyError, OSError) as error:
            yield {"type": "RUN_ERROR", "message": str(error), **ids}
            return
        async with workers.lock(asked["threadId"]):
            started = {"type": "RUN_STARTED", "timestamp": int(time.time() * 1000)}
            yield {**started, **ids, "input": {**ids, "messages": asked["messages"]}}
            prompt = _last_prompt(asked)
            if not prompt:
                yield {"type": "RUN_FINISHED", **ids}
                return
            match await worker.ask(prompt):
                case Answer() as answer:
                    async for event in stream_answer(asked, answer):
                        yield event
                case CutOff():
                    yield {"type": "RUN_FINISHED", **ids}
                    yield {"type": "RUN_ERROR", "message": "the agent was stopped", **ids}

    async def _prepare(self, thread: str) -> tuple[_Workers, Worker]:
        """Fetch credentials, twice the first time, and find the thread's worker."""
        workers = self._workers = self._workers or _Workers()
        if not self._is_ready:
            _check_key(self.settings)
            await platform.fetch_credentials(self.settings)
            self._is_ready = True
        await platform.fetch_credentials(self.settings)
        worker = workers.by_thread.get(thread)
        if worker is None or worker.is_lost:
            workers.by_thread[thread] = self._make_worker(thread)
            workers.locks[thread] = asyncio.Lock()
        return workers, workers.by_thread[thread]

    def _make_worker(self, thread: str) -> Worker:
        """Make the program of a thread; a home directory that cannot be written ends the run."""
        settings = self.settings
        (settings.home / ".claude.json").write_bytes(b"{}")
        folders = (settings.workspace, settings.home)
        state, home_state = (each / settings.state_dir for each in folders)
        return Worker(
            thread,
            settings.make_working_directory(),
            Conversations(state, home_state),
            settings.times.refused,
        )


class MissingKeyError(Exception):
    """There is no key for the model."""


def _check_key(settings: Settings) -> None:
    if not settings.get("ANTHROPIC_API_KEY") and not settings.get("USE_VERTEX"):
        raise MissingKeyError("ANTHROPIC_API_KEY or USE_VERTEX must be set")


def _last_prompt(asked: Event) -> str:
    prompts = [each for each in asked["messages"] if each.get("role") == "user"]
    return str(prompts[-1].get("content") or "") if prompts else ""


async def _stop_all(workers: _Workers, patience_s: float) -> None:
    await asyncio.gather(*(each.stop(patience_s) for each in workers.by_thread.values()))
