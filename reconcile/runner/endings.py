"""Decides when a session has ended: its work is done, failed at once, or it is not used.

The bridge ends with the reason in its termination message, which the reconciler reads; it never
ends anything else itself. An open run is never idle, however long it says nothing.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, Protocol

from reconcile.runner.activity import (
    Activity,
    ConnectionWatch,
    MirrorAnswer,
    NoAnswer,
    NotAsked,
    Sample,
    fetch_mirror_status,
)
from reconcile.runner.runs import RunsState
from reconcile.runtime.logging import Logger

EndReason = Literal["run-finished", "run-failed", "inactive", "prompt-not-delivered"]

_MIRROR_INTERVAL: Final = 10.0
_CONNECTIONS_INTERVAL: Final = 30.0
"""Seconds between two looks at connections, of which the kernel lists all of the machine's table:
milliseconds for each look."""
_LAST_LOOKS: Final = 3
"""How many looks in a row precede an end: a connection counts if it is seen twice."""
_FINISHED_FILE: Final = "run-finished"


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a session has ended; the message has no secrets."""

    reason: EndReason
    message: str = ""
    exit_code: int = 0


class RunsView(Protocol):
    """What is known of the runs."""

    @property
    def state(self) -> RunsState:
        """The state now."""
        ...

    @property
    def has_open_run(self) -> bool:
        """Whether a run is open, or waits."""
        ...


class DeliveryView(Protocol):
    """What is known of the prompt."""

    @property
    def is_delivered(self) -> bool:
        """Whether there is no prompt that is still to be delivered."""
        ...

    @property
    def has_started(self) -> bool:
        """Whether the runner has started."""
        ...

    @property
    def failure(self) -> str:
        """Why the prompt could not be delivered in the stated time; empty if it was, or may be."""
        ...


@dataclass(frozen=True, slots=True)
class EndingOptions:
    """When a session ends.

    Attributes:
        logger: Where a mirror that does not answer is reported.
        state: A folder of this pod; what is remembered in it is valid for `pod_uid` alone.
        pod_uid: The UID of the pod.
        host: The pod's address, on which its mirror listens.
        mirror_port: The mirror's port, 0 if there is no mirror.
        runner_port: The runner's port.
        inactivity_seconds: How long nothing may happen; 0 for any time.
        stop_on_run_finished: Whether a run that ended well ends the session.
        quiet_seconds: How long nothing must happen after it.
        poll_seconds: How often to look.
        monotonic: The clock.
    """

    logger: Logger
    state: Path
    pod_uid: str
    host: str = "127.0.0.1"
    mirror_port: int = 0
    runner_port: int = 8001
    inactivity_seconds: float = 0.0
    stop_on_run_finished: bool = False
    quiet_seconds: float = 10.0
    poll_seconds: float = 1.0
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a decision depends on; times in monotonic seconds.

    `has_finished` is true if the last run ended well, in this process or the one before it in this
    pod. `last_use` is the last write or connection, or the start.
    """

    now: float
    runs: RunsState = field(default_factory=RunsState)
    has_open_run: bool = False
    has_finished: bool = False
    is_delivered: bool = True
    delivery_failure: str = ""
    last_use: float = 0.0


def decide(facts: Facts, options: EndingOptions) -> Ending | None:
    """Decide whether the session has ended."""
    if facts.delivery_failure:
        return Ending("prompt-not-delivered", facts.delivery_failure)
    if facts.runs.first_run_failed:
        end = facts.runs.last_end
        return Ending("run-failed", end.message if end else "")
    if facts.has_open_run or not facts.is_delivered:
        return None
    quiet = facts.now - facts.runs.last_event
    if options.stop_on_run_finished and facts.has_finished and quiet >= options.quiet_seconds:
        return Ending("run-finished")
    return _decide_inactive(facts, options.inactivity_seconds)


def _decide_inactive(facts: Facts, limit: float) -> Ending | None:
    idle = facts.now - max(facts.runs.last_event, facts.last_use)
    if limit <= 0 or idle < limit:
        return None
    text = "no run, no event, no write to the workspace and no connection to the runner"
    return Ending("inactive", f"{text} for {limit:g} s")


class Endings:
    """Looks at a session until it has ended."""

    def __init__(self, options: EndingOptions, runs: RunsView, delivery: DeliveryView) -> None:
        now = options.monotonic()
        self._options = options
        self._runs = runs
        self._delivery = delivery
        self._activity = Activity(now, now)
        self._connections = ConnectionWatch(options.runner_port)
        self._next_question = self._next_look = now
        self._is_mirror_silent = False
        self._remembered = _Remembered(options.state / _FINISHED_FILE, options.pod_uid)

    async def wait_for_end(self) -> Ending:
        """Return how the session has ended, as soon as it has."""
        while True:
            await self._look_for_use()
            ending = decide(self._collect(), self._options)
            if ending is not None:
                return ending
            await asyncio.sleep(self._options.poll_seconds)

    def _collect(self) -> Facts:
        state = self._runs.state
        if state.last_end is not None:
            self._remembered.set(state.last_end.ok)
        return Facts(
            now=self._options.monotonic(),
            runs=state,
            has_open_run=self._runs.has_open_run,
            has_finished=self._remembered.is_set,
            is_delivered=self._delivery.is_delivered,
            delivery_failure=self._delivery.failure,
            last_use=self._activity.last,
        )

    async def _look_for_use(self) -> None:
        if self._options.inactivity_seconds <= 0:
            return
        mirror = await self._ask_mirror()
        now = self._options.monotonic()
        if not self._delivery.has_started:
            # The runner's image may be pulled: that is no time without use.
            self._activity = replace(self._activity, last=now)
        is_connected = self._must_look(now) and self._connections.is_connected()
        self._activity = self._activity.add(Sample(now, mirror, is_connected))

    def _must_look(self, now: float) -> bool:
        """Whether to look at the connections: seldom, and each time before an end."""
        options = self._options
        idle = now - max(self._runs.state.last_event, self._activity.last)
        is_near = idle + _LAST_LOOKS * options.poll_seconds >= options.inactivity_seconds
        if now < self._next_look and not is_near:
            return False
        self._next_look = now + min(_CONNECTIONS_INTERVAL, options.inactivity_seconds / 4)
        return True

    async def _ask_mirror(self) -> MirrorAnswer:
        options, now = self._options, self._options.monotonic()
        if options.mirror_port == 0 or now < self._next_question:
            return NotAsked()
        self._next_question = now + min(_MIRROR_INTERVAL, options.inactivity_seconds / 4)
        answer = await fetch_mirror_status(options.host, options.mirror_port)
        self._report(is_silent=isinstance(answer, NoAnswer))
        return answer

    def _report(self, *, is_silent: bool) -> None:
        if is_silent and not self._is_mirror_silent:
            text = "whether files are written is not known; the time counts from its last answer"
            self._options.logger.warning("the mirror does not answer", effect=text)
        elif self._is_mirror_silent and not is_silent:
            self._options.logger.info("the mirror answers again")
        self._is_mirror_silent = is_silent


class _Remembered:
    """Whether the last run of this pod ended well, also after this process is started again."""

    def __init__(self, path: Path, pod_uid: str) -> None:
        self._path = path
        self._pod_uid = pod_uid
        self.is_set = self._read() == pod_uid

    def set(self, is_set: bool) -> None:  # noqa: FBT001 - a setter
        """Remember it; where it cannot be written, it is known to this process alone."""
        if is_set == self.is_set:
            return
        self.is_set = is_set
        with suppress(OSError):
            if is_set:
                self._path.write_text(self._pod_uid)
            else:
                self._path.unlink(missing_ok=True)

    def _read(self) -> str:
        with suppress(OSError, UnicodeDecodeError):
            return self._path.read_text()
        return ""
