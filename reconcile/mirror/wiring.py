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
from reconcile.mirror.concurrency import Lanes
from reconcile.mirror.errors import MirrorError, SettingsError
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.store.port import Store
from reconcile.mirror.units import bytes_per_second
from reconcile.mirror.workspace.excludes import DEFAULTS, Excludes
from reconcile.runtime.clock import SystemClock
from reconcile.runtime.logging import Journal, JsonJournal


class Where(Struct, frozen=True):
    """The two sides, as the command line names them; empty texts are not given."""

    workspace: Path
    state: Path
    prefix: str
    project_secret: str = ""
    shared_secret: str = ""
    token_file: str = ""
    ca_file: str = ""
    single_writer: bool = False
    lanes: int = 4
    patience: float = 120.0
    bandwidth: str = ""
    excludes: tuple[str, ...] = field(default=())
    default_excludes: bool = True

    @property
    def directory(self) -> StateDirectory:
        """The mirror's own notes."""
        return StateDirectory(self.state)

    def patterns(self) -> Excludes:
        """Return what is left out; SettingsError for a pattern that makes no sense."""
        return patterns_of(self.excludes, default=self.default_excludes)


class Holding(Struct, frozen=True):
    """When the bandwidth is bounded no more, and who is told how many seconds a request waited."""

    freed: Callable[[], bool]
    heard: Callable[[float], None]


def _never() -> bool:
    return False


def _unheard(_seconds: float) -> None:
    """Tell nobody."""


FOREVER = Holding(_never, _unheard)


def patterns_of(given: tuple[str, ...], *, default: bool) -> Excludes:
    """Return what is left out; SettingsError for a pattern that makes no sense."""
    return Excludes((*(DEFAULTS if default else ()), *given))


class StoreClock(SystemClock):
    """The time that retries wait; TERM cuts short what waits then, and nothing that comes later."""

    def __init__(self) -> None:
        super().__init__()
        self._cut = threading.Event()

    def interrupt(self) -> None:
        """Give up what waits for a retry now."""
        self._cut.set()

    def resume(self) -> None:
        """Let retries wait again."""
        self._cut.clear()

    def wait(self, seconds: float) -> bool:
        return self._cut.wait(seconds)


def prefix_of(text: str) -> str:
    """Return a prefix that ends with one slash.

    Raises:
        SettingsError: It is empty, or leads elsewhere.
    """
    parts = [part for part in text.split("/") if part]
    if not parts or any(part in {".", ".."} for part in parts):
        raise SettingsError(f"--prefix is {text!r}: write NAMESPACE/SESSION")
    return "/".join(parts) + "/"


def store_opener(
    where: Where,
    clock: StoreClock,
    journal: Journal,
    holding: Holding = FOREVER,
    *,
    refusals: bool = False,
) -> Callable[[], Store]:
    """Return what opens the store when it is first needed; importing it is slow.

    With `refusals` what the store refuses is tried again too, as long as what it does not answer.

    Raises:
        SettingsError: The prefix or the bandwidth makes no sense.
    """
    prefix = prefix_of(where.prefix)
    rate = bytes_per_second(where.bandwidth)

    @cache
    def opened() -> Store:
        from reconcile.mirror.store.conditional import SingleWriterStore
        from reconcile.mirror.store.factory import Mounts, Place, open_store
        from reconcile.mirror.store.rate_limit import Pace, PacedStore, PatientClock
        from reconcile.mirror.store.retry import Backoff, RetryingStore, Setback
        from reconcile.runtime.process import give_back_large

        give_back_large()

        def tell(setback: Setback) -> None:
            journal.warn(
                "store asked again",
                error=str(setback.error),
                failures=setback.failures,
                wait=round(setback.pause, 3),
            )

        mounts = Mounts(where.project_secret, where.shared_secret, where.token_file, where.ca_file)
        plain = open_store(mounts, Place(prefix, prefix.strip("/")))
        pace = Pace(rate, clock, holding.freed, holding.heard)
        patient = PatientClock(clock, pace)
        backoff = Backoff(where.patience, refusals=refusals)
        store = RetryingStore(PacedStore(plain, pace), patient, backoff, tell)
        return SingleWriterStore(store) if where.single_writer else store

    lock = threading.Lock()

    def open_once() -> Store:
        with lock:
            return opened()

    return open_once


class Probing:
    """Tries conditional writes beside what else is done, so that it costs no time."""

    def __init__(self, store: Store, *, single_writer: bool) -> None:
        self._store = store
        self._single_writer = single_writer
        self._error: MirrorError | None = None
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        from reconcile.mirror.store.conditional import demand, probe

        try:
            verdict = probe(self._store, f"probe/{uuid.uuid4()}")
            demand(verdict, single_writer=self._single_writer)
        except MirrorError as error:
            self._error = error

    def demand(self) -> None:
        """Wait for the verdict; StoreError if the store cannot be trusted or asked."""
        self._thread.join()
        if self._error is not None:
            raise self._error


class Opened(Struct, frozen=True):
    """A session's prefix, ready for requests."""

    store: Store
    lanes: Lanes
    clock: Clock


def open_bucket(options: dict[str, Any]) -> Opened:
    """Open the store that command-line options name; SettingsError if they make no sense."""
    clock = StoreClock()
    where = Where(workspace=Path(), state=Path(), **options)
    store = store_opener(where, clock, JsonJournal(clock.time_ns))()
    return Opened(store, Lanes(where.lanes, "bucket"), clock)
