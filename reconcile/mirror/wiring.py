"""Builds what the mirror's commands need from their settings: the store, threads, and a clock."""

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from msgspec import Struct, field

from reconcile.mirror.clock import Clock
from reconcile.mirror.concurrency import WorkerPool
from reconcile.mirror.errors import MirrorError, SettingsError, StoreAwayError
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.store.port import (
    DEFAULT_LIMIT,
    BytesLike,
    ListedObject,
    ObjectAbsent,
    ObjectData,
    Sink,
    Store,
)
from reconcile.mirror.units import parse_bandwidth
from reconcile.mirror.workspace.excludes import DEFAULT_EXCLUDES, Excludes, ProtectedFolders
from reconcile.mirror.workspace.session_mark import SESSION_DIR
from reconcile.runtime.clock import SystemClock
from reconcile.runtime.logging import JsonLogger, Logger

if TYPE_CHECKING:
    from reconcile.mirror.store.retry import RetryEvent


_Result = TypeVar("_Result")


class MirrorConfig(Struct, frozen=True):
    """The workspace and the store, as the command line names them; an empty text is not set."""

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
    runner_state_dir: str = ".claude"

    @property
    def state_directory(self) -> StateDirectory:
        """The mirror's state directory."""
        return StateDirectory(self.state)

    def check_directories(self) -> None:
        """Check that what is private to the mirror is outside of the workspace.

        Raises:
            SettingsError: A directory or file would be uploaded, and the agent could change it.
        """
        private = {
            "--state": str(self.state),
            "--project-secret": self.project_secret,
            "--shared-secret": self.shared_secret,
            "--token-file": self.token_file,
        }
        for option, path in private.items():
            if path:
                self.check_outside(option, Path(path))

    def check_outside(self, option: str, path: Path) -> None:
        """Raise SettingsError if a path that only the mirror may change is in the workspace."""
        if _is_inside(path, self.workspace):
            raise SettingsError(
                f"{option} {path} is in the workspace {self.workspace}: the agent could change "
                "it, and it would be part of every snapshot. Name a path outside of it"
            )

    def build_excludes(self) -> Excludes:
        """Return what is left out; raises as `build_excludes`."""
        return build_excludes(self.excludes, self.runner_state_dir, default=self.default_excludes)


def _is_inside(path: Path, directory: Path) -> bool:
    """Whether a path is the directory or below it, also by links or another mount of it."""
    try:
        resolved = path.resolve()
        return any(
            each.exists() and each.samefile(directory) for each in (resolved, *resolved.parents)
        )
    except (OSError, RuntimeError):
        return False


def _is_always_throttled() -> bool:
    return False


def _ignore_wait(_seconds: float) -> None:
    """Report it to no one."""


def _ignore_reachable(*, reachable: bool) -> None:
    """Report it to no one."""


class OnReachable(Protocol):
    """Gets to know that the store does not answer, and that it answers again."""

    def __call__(self, *, reachable: bool) -> None:
        """Record it; called from any thread."""
        ...


class StoreHooks(Struct, frozen=True):
    """What a store asks and reports.

    Attributes:
        is_unthrottled: Whether the bandwidth limit is lifted.
        on_throttled: Called with the seconds that a request had to wait for the bandwidth.
        on_reachable: Called when a request gets no answer, and when it succeeds after that.
    """

    is_unthrottled: Callable[[], bool] = _is_always_throttled
    on_throttled: Callable[[float], None] = _ignore_wait
    on_reachable: OnReachable = _ignore_reachable


NO_HOOKS = StoreHooks()


def build_excludes(patterns: tuple[str, ...], runner_state_dir: str, *, default: bool) -> Excludes:
    """Return what is left out.

    No pattern excludes `.session` and the directory in which the runner keeps its conversation:
    without them the next pod would begin again. Caches in them are left out all the same.

    Raises:
        SettingsError: A pattern or the directory is malformed.
    """
    defaults = DEFAULT_EXCLUDES if default else ()
    paths = (SESSION_DIR, _normalize_state_dir(runner_state_dir))
    return Excludes((*defaults, *patterns), ProtectedFolders(paths, Excludes(defaults)))


def _normalize_state_dir(text: str) -> str:
    """Return the path without empty parts; SettingsError if it is not below the workspace."""
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if text.startswith("/") or not parts or ".." in parts or "\0" in text:
        raise SettingsError(
            f"--runner-state-dir is {text!r}: name a directory below the workspace, such as .claude"
        )
    return "/".join(parts)


class InterruptibleClock(SystemClock):
    """The clock of retries: an interrupt ends the current waits, until `resume`."""

    def __init__(self) -> None:
        super().__init__()
        self._interrupted = threading.Event()

    def interrupt(self) -> None:
        """End all waits for a retry, now and until `resume`."""
        self._interrupted.set()

    def resume(self) -> None:
        """Let retries wait again."""
        self._interrupted.clear()

    def wait(self, seconds: float) -> bool:
        return self._interrupted.wait(seconds)


def normalize_prefix(text: str) -> str:
    """Return a prefix that ends with one slash.

    Raises:
        SettingsError: It is empty, or has a part such as `..` or a control character.
    """
    parts = [part for part in text.split("/") if part]
    if not text.isprintable() or not parts or any(part in {".", ".."} for part in parts):
        raise SettingsError(f"--prefix is {text!r}: write NAMESPACE/SESSION")
    return "/".join(parts) + "/"


class LazyStore:
    """A session's prefix in the bucket, opened by the first request: the imports are slow."""

    def __init__(
        self,
        config: MirrorConfig,
        clock: InterruptibleClock,
        logger: Logger,
        hooks: StoreHooks = NO_HOOKS,
        *,
        retry_denied: bool = False,
    ) -> None:
        """Check the settings.

        Args:
            config: Where the store is, and how to use it.
            clock: For retries and the bandwidth.
            logger: Gets an event for each retry.
            hooks: For the bandwidth limit, and whether the store answers.
            retry_denied: Whether refused requests are retried for as long as unanswered ones.

        Raises:
            SettingsError: The prefix or the bandwidth is malformed.
        """
        self._config = config
        self._clock = clock
        self._logger = logger
        self._hooks = hooks
        self._retry_denied = retry_denied
        self._prefix = normalize_prefix(config.prefix)
        self._rate = parse_bandwidth(config.bandwidth)
        self._lock = threading.Lock()
        self._opened: Store | None = None

    def open(self) -> Store:
        """Return the open store; SettingsError where a setting or credential is missing."""
        with self._lock:
            if self._opened is None:
                self._opened = self._build()
            return self._opened

    def get(self, key: str, limit: int = DEFAULT_LIMIT) -> ObjectData:
        return self.open().get(key, limit)

    def get_into(self, key: str, sink: Sink) -> int:
        return self.open().get_into(key, sink)

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        return self.open().get_range(key, offset, size)

    def put(self, key: str, parts: Sequence[BytesLike], digest: str) -> None:
        self.open().put(key, parts, digest)

    def put_if(self, key: str, body: bytes, etag: str | ObjectAbsent) -> str:
        return self.open().put_if(key, body, etag)

    def list(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        return self.open().list(prefix, after)

    def delete(self, keys: Iterable[str]) -> None:
        self.open().delete(keys)

    def retry(self, operation: Callable[[], _Result]) -> _Result:
        return self.open().retry(operation)

    def _build(self) -> Store:
        from reconcile.mirror.store import rate_limit
        from reconcile.mirror.store.conditional import SingleWriterStore
        from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
        from reconcile.runtime.process import release_large_buffers

        release_large_buffers()
        limiter = rate_limit.RateLimiter(
            self._rate, self._clock, self._hooks.is_unthrottled, self._hooks.on_throttled
        )
        store = RetryingStore(
            rate_limit.RateLimitedStore(self._connect(), limiter),
            rate_limit.ThrottleAwareClock(self._clock, limiter),
            RetryPolicy(self._config.retry_timeout, retry_denied=self._retry_denied),
            self._report_retry,
        )
        return SingleWriterStore(store) if self._config.single_writer else store

    def _connect(self) -> Store:
        from reconcile.mirror.store.factory import Mounts, StoreOptions, open_store

        config = self._config
        mounts = Mounts(
            config.project_secret, config.shared_secret, config.token_file, config.ca_file
        )
        return open_store(mounts, StoreOptions(self._prefix, self._prefix.strip("/")))

    def _report_retry(self, event: "RetryEvent | None") -> None:
        if event is None:
            self._hooks.on_reachable(reachable=True)
            return
        if isinstance(event.error, StoreAwayError):
            self._hooks.on_reachable(reachable=False)
        self._logger.warning(
            "store request retried",
            error=str(event.error),
            failures=event.failures,
            wait=round(event.delay, 3),
        )


class ConditionalWriteCheck:
    """Tests conditional writes in a thread, so that the test costs no time."""

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
        """Wait for the result; StoreError if conditional writes fail or cannot be tested."""
        self._thread.join()
        if self._error is not None:
            raise self._error


class OpenStore(Struct, frozen=True):
    """A session's prefix, ready for requests."""

    store: Store
    pool: WorkerPool
    clock: Clock


def open_bucket(options: dict[str, Any], clock: InterruptibleClock) -> OpenStore:
    """Open the store that command-line options name; SettingsError if one is malformed."""
    config = MirrorConfig(workspace=Path(), state=Path(), **options)
    store = LazyStore(config, clock, JsonLogger(clock.time_ns)).open()
    return OpenStore(store, WorkerPool(config.transfers, "bucket"), clock)


if TYPE_CHECKING:
    _conforms: type[Store] = LazyStore
