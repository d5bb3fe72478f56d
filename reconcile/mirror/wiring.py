"""Puts the parts of the mirror together, from settings to a running process.

What a command on a bucket needs: its store, threads, and a clock.
"""

import threading
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from reconcile.mirror.clock import Clock
from reconcile.mirror.concurrency import WorkerPool
from reconcile.mirror.errors import MirrorError, SettingsError
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.store.port import Store
from reconcile.mirror.units import parse_bandwidth
from reconcile.mirror.workspace.excludes import DEFAULT_EXCLUDES, Excludes
from reconcile.runtime.clock import SystemClock
from reconcile.runtime.logging import JsonLogger, Logger


class MirrorConfig(Struct, frozen=True):
    """The two sides, as the command line names them; empty texts are not given."""

    workspace: Path
    state: Path
    prefix: str
    project_secret: str = ""
    shared_secret: str = ""
    token_file: str = ""
    ca_file: str = ""
    single_writer: bool = False
    transfers: int = 4
    retry_timeout: float = 120.0
    bandwidth: str = ""
    excludes: tuple[str, ...] = field(default=())
    default_excludes: bool = True

    @property
    def state_directory(self) -> StateDirectory:
        """The mirror's own notes."""
        return StateDirectory(self.state)

    def build_excludes(self) -> Excludes:
        """Return what is left out; SettingsError for a pattern that makes no sense."""
        return build_excludes(self.excludes, default=self.default_excludes)


class ThrottleHooks(Struct, frozen=True):
    """When the bandwidth is bounded no more, and who is told how many seconds a request waited."""

    is_unthrottled: Callable[[], bool]
    on_throttled: Callable[[float], None]


def _never_unthrottled() -> bool:
    return False


def _ignore_wait(_seconds: float) -> None:
    """Tell nobody."""


NO_THROTTLE_HOOKS = ThrottleHooks(_never_unthrottled, _ignore_wait)


def build_excludes(patterns: tuple[str, ...], *, default: bool) -> Excludes:
    """Return what is left out; SettingsError for a pattern that makes no sense."""
    return Excludes((*(DEFAULT_EXCLUDES if default else ()), *patterns))


class InterruptibleClock(SystemClock):
    """The time that retries wait; TERM cuts short what waits then, and nothing that comes later."""

    def __init__(self) -> None:
        super().__init__()
        self._interrupted = threading.Event()

    def interrupt(self) -> None:
        """Give up what waits for a retry now."""
        self._interrupted.set()

    def resume(self) -> None:
        """Let retries wait again."""
        self._interrupted.clear()

    def wait(self, seconds: float) -> bool:
        return self._interrupted.wait(seconds)


def normalize_prefix(text: str) -> str:
    """Return a prefix that ends with one slash.

    Raises:
        SettingsError: It is empty, or leads elsewhere.
    """
    parts = [part for part in text.split("/") if part]
    if not parts or any(part in {".", ".."} for part in parts):
        raise SettingsError(f"--prefix is {text!r}: write NAMESPACE/SESSION")
    return "/".join(parts) + "/"


def store_opener(
    config: MirrorConfig,
    clock: InterruptibleClock,
    journal: Logger,
    throttle_hooks: ThrottleHooks = NO_THROTTLE_HOOKS,
    *,
    retry_denied: bool = False,
) -> Callable[[], Store]:
    """Return what opens the store when it is first needed; importing it is slow.

    With `retry_denied` what the store refuses is tried again too, as long as what it does not answer.

    Raises:
        SettingsError: The prefix or the bandwidth makes no sense.
    """
    prefix = normalize_prefix(config.prefix)
    rate = parse_bandwidth(config.bandwidth)

    @cache
    def opened() -> Store:
        from reconcile.mirror.store.conditional import SingleWriterStore
        from reconcile.mirror.store.factory import Mounts, StoreOptions, open_store
        from reconcile.mirror.store.rate_limit import (
            RateLimitedStore,
            RateLimiter,
            ThrottleAwareClock,
        )
        from reconcile.mirror.store.retry import RetryEvent, RetryingStore, RetryPolicy
        from reconcile.runtime.process import release_large_buffers

        release_large_buffers()

        def tell(setback: RetryEvent) -> None:
            journal.warning(
                "store request retried",
                error=str(setback.error),
                failures=setback.failures,
                wait=round(setback.delay, 3),
            )

        mounts = Mounts(
            config.project_secret, config.shared_secret, config.token_file, config.ca_file
        )
        plain = open_store(mounts, StoreOptions(prefix, prefix.strip("/")))
        pace = RateLimiter(rate, clock, throttle_hooks.is_unthrottled, throttle_hooks.on_throttled)
        patient = ThrottleAwareClock(clock, pace)
        backoff = RetryPolicy(config.retry_timeout, retry_denied=retry_denied)
        store = RetryingStore(RateLimitedStore(plain, pace), patient, backoff, tell)
        return SingleWriterStore(store) if config.single_writer else store

    lock = threading.Lock()

    def open_once() -> Store:
        with lock:
            return opened()

    return open_once


class ConditionalWriteCheck:
    """Tries conditional writes beside what else is done, so that it costs no time."""

    def __init__(self, store: Store, *, single_writer: bool) -> None:
        self._store = store
        self._single_writer = single_writer
        self._error: MirrorError | None = None
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        from reconcile.mirror.store.conditional import (
            probe_conditional_writes,
            require_conditional_writes,
        )

        try:
            verdict = probe_conditional_writes(self._store, f"probe/{uuid.uuid4()}")
            require_conditional_writes(verdict, single_writer=self._single_writer)
        except MirrorError as error:
            self._error = error

    def require(self) -> None:
        """Wait for the verdict; StoreError if the store cannot be trusted or asked."""
        self._thread.join()
        if self._error is not None:
            raise self._error


class OpenStore(Struct, frozen=True):
    """A session's prefix, ready for requests."""

    store: Store
    pool: WorkerPool
    clock: Clock


def open_bucket(options: dict[str, Any]) -> OpenStore:
    """Open the store that command-line options name; SettingsError if they make no sense."""
    clock = InterruptibleClock()
    where = MirrorConfig(workspace=Path(), state=Path(), **options)
    store = store_opener(where, clock, JsonLogger(clock.time_ns))()
    return OpenStore(store, WorkerPool(where.transfers, "bucket"), clock)
