"""The server: store, kubelet, garbage collector, clock and state file; one request at a time."""

import contextlib
import threading
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from reconcile.adapters.embedded.kubelet import Kubelet
from reconcile.adapters.embedded.storage import (
    ClusterStore,
    JsonDict,
    StateFile,
    StoredObject,
    begin_deletion,
)
from reconcile.core.model import ObjectRef
from reconcile.runtime.clock import add_seconds, utc_now


def random_uid() -> str:
    """Generate a UID."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """Settings of an embedded cluster.

    Attributes:
        now: Returns the time of day as RFC 3339, to the second.
        new_uid: Returns a new UID at each call.
        namespaces: The existing namespaces; None if every name exists.
        auto_tick: Whether the node runs before and after each request. If not, pods stay Pending
            until `EmbeddedCluster.tick`.
        exit_seconds: Seconds that a deleted pod takes to end, at most its grace period.
    """

    now: Callable[[], str] = utc_now
    new_uid: Callable[[], str] = random_uid
    namespaces: Collection[str] | None = None
    auto_tick: bool = False
    exit_seconds: float = 0.0


def collect_garbage(store: ClusterStore, time: str) -> set[ObjectRef]:
    """Delete orphans, and then their dependents, until there are none.

    An orphan had owners, and all are deleted. Checks only objects that changed since the last call,
    and returns their names.
    """
    seen: set[ObjectRef] = set()
    while True:
        touched, removed = store.take_changes()
        if not touched and not removed:
            return seen
        seen.update(touched)
        suspects = [entry for ref in touched if (entry := store.find(ref)) is not None]
        for uid in removed:
            suspects += store.dependents(uid)
        for entry in suspects:
            if _is_orphan(store, entry):
                begin_deletion(store, entry, time)


def _is_orphan(store: ClusterStore, entry: StoredObject) -> bool:
    current = store.find(entry.ref)
    if current is None or current.uid != entry.uid or not entry.owner_uids:
        return False
    return not any(store.has_uid(owner) for owner in entry.owner_uids)


Result = TypeVar("Result")


class EmbeddedServer:
    """The state of the cluster; safe to use from several threads, and processes with a file."""

    def __init__(self, file: StateFile | None, settings: EmbeddedSettings) -> None:
        self._file = file
        self._settings = settings
        self._store = ClusterStore()
        self._kubelet = Kubelet(settings.exit_seconds)
        self._skipped_seconds = 0.0
        self._persisted_changes = 0
        self._mutex = threading.RLock()
        self._write_lock = threading.Lock()

    @property
    def time(self) -> str:
        """The cluster's time, which `advance_time` changes."""
        return add_seconds(self._settings.now(), self._skipped_seconds)

    def advance_time(self, seconds: float) -> None:
        """Advance the time, and run the kubelet."""
        with self._mutex:
            self._skipped_seconds += seconds
        self.write(self._run_kubelet)

    def read(self, action: Callable[[ClusterStore], Result]) -> Result:
        """Read the store, after controllers have run if they are due."""
        with self._mutex:
            self._reload()
            if not self._is_due():
                return action(self._store)
        return self.write(action)

    def write(self, action: Callable[[ClusterStore], Result]) -> Result:
        """Change the store; the change is in the state file when this returns."""
        with self._file.lock() if self._file else contextlib.nullcontext():
            try:
                return self._apply(action)
            finally:
                self._persist()

    def _apply(self, action: Callable[[ClusterStore], Result]) -> Result:
        with self._mutex:
            self._reload()
            self._run_controllers()
            result = action(self._store)
            self._run_controllers()
            return result

    def _is_due(self) -> bool:
        return self._store.has_changes or (
            self._settings.auto_tick and self._kubelet.is_due(self.time)
        )

    def _run_controllers(self) -> None:
        """Run the garbage collector and the kubelet until nothing is due."""
        self._kubelet.enqueue(collect_garbage(self._store, self.time))
        while self._settings.auto_tick and self._kubelet.is_due(self.time):
            self._run_kubelet(self._store)

    def _run_kubelet(self, store: ClusterStore) -> None:
        self._kubelet.sync_pods(store, self.time)
        self._kubelet.enqueue(collect_garbage(store, self.time))

    def _reload(self) -> None:
        """Read the state file if another process or a user has changed it."""
        state = self._file.read_if_changed() if self._file else None
        if state is None:
            return
        version, objects = state
        self._store = ClusterStore(version, self._store.change_count)
        self._kubelet = Kubelet(self._settings.exit_seconds)
        for obj in objects:
            self._load_object(obj)
        self._persisted_changes = self._store.change_count

    def _load_object(self, obj: JsonDict) -> None:
        metadata = obj["metadata"]
        metadata.setdefault("uid", self._settings.new_uid())
        if "resourceVersion" not in metadata:
            metadata["resourceVersion"] = self._store.next_resource_version()
        self._store.put(obj)

    def _persist(self) -> None:
        """Write the changes of this call, unless another thread has already written them."""
        if self._file is None:
            return
        with self._mutex:
            wanted = self._store.change_count
        with self._write_lock:
            with self._mutex:
                if self._persisted_changes >= wanted:
                    return
                store, changes = self._store, self._store.change_count
                objects = [entry.raw for entry in store.all_objects()]
                version = store.resource_version
            draft = self._file.write_draft(version, objects)
            with self._mutex:
                self._file.commit(draft)
                self._persisted_changes = changes
