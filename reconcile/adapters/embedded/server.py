"""Store, node, clock and state file together: every request happens in here, one at a time.

What tests and simulations may choose about an embedded cluster.

Background garbage collection: what has owners goes when none of them is left.
"""

import contextlib
import threading
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from reconcile.adapters.embedded.kubelet import Node
from reconcile.adapters.embedded.storage import Entry, Json, StateFile, Store, begin_deletion
from reconcile.core.model import ObjectRef
from reconcile.runtime.clock import later, utc_now


def random_uid() -> str:
    """Draw a UID."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Settings:
    """The outside of an embedded cluster.

    Attributes:
        now: The time of day as RFC 3339, to the second.
        new_uid: Draws UIDs; every one must be new.
        namespaces: Those that exist; None for any that is asked for.
        simulates: Whether the node runs by itself, before and after each request. If not, pods
            stay Pending until `EmbeddedCluster.tick`.
        exit_s: Seconds that a pod takes to end when it is asked to, at most its grace period.
    """

    now: Callable[[], str] = utc_now
    new_uid: Callable[[], str] = random_uid
    namespaces: Collection[str] | None = None
    simulates: bool = False
    exit_s: float = 0.0


def collect(store: Store, time: str) -> set[ObjectRef]:
    """Delete orphans, and what they leave behind, until there are none.

    Only what was touched since the last time is looked at. Returns the names of all of that.
    """
    seen: set[ObjectRef] = set()
    while True:
        touched, removed = store.drain()
        if not touched and not removed:
            return seen
        seen.update(touched)
        suspects = [entry for ref in touched if (entry := store.find(ref)) is not None]
        for uid in removed:
            suspects += store.dependents(uid)
        for entry in suspects:
            if _is_orphan(store, entry):
                begin_deletion(store, entry, time)


def _is_orphan(store: Store, entry: Entry) -> bool:
    current = store.find(entry.ref)
    if current is None or current.uid != entry.uid or not entry.owners:
        return False
    return not any(store.has(owner) for owner in entry.owners)


Result = TypeVar("Result")


class World:
    """The cluster's state; safe to use from several threads, and with a file several processes."""

    def __init__(self, file: StateFile | None, settings: Settings) -> None:
        self._file = file
        self._settings = settings
        self._store = Store()
        self._node = Node(settings.exit_s)
        self._skipped_s = 0.0
        self._written = 0
        self._mutex = threading.RLock()
        self._writing = threading.Lock()

    @property
    def time(self) -> str:
        """Now, in the cluster's own time."""
        return later(self._settings.now(), self._skipped_s)

    def skip(self, seconds: float) -> None:
        """Let time pass, and the node do what it then does."""
        with self._mutex:
            self._skipped_s += seconds
        self.change(self._run_node)

    def read(self, action: Callable[[Store], Result]) -> Result:
        """Look at what is there, after what is due has happened."""
        with self._mutex:
            self._refresh()
            if not self._is_due():
                return action(self._store)
        return self.change(action)

    def change(self, action: Callable[[Store], Result]) -> Result:
        """Do something to what is there; when it returns, it is in the state file."""
        with self._file.locked() if self._file else contextlib.nullcontext():
            try:
                return self._changed(action)
            finally:
                self._persist()

    def _changed(self, action: Callable[[Store], Result]) -> Result:
        with self._mutex:
            self._refresh()
            self._settle()
            result = action(self._store)
            self._settle()
            return result

    def _is_due(self) -> bool:
        return self._store.is_touched or (self._settings.simulates and self._node.is_due(self.time))

    def _settle(self) -> None:
        """Collect garbage and let the node work until nothing is left to do."""
        self._node.notice(collect(self._store, self.time))
        while self._settings.simulates and self._node.is_due(self.time):
            self._run_node(self._store)

    def _run_node(self, store: Store) -> None:
        self._node.step(store, self.time)
        self._node.notice(collect(store, self.time))

    def _refresh(self) -> None:
        """Take over what another process, or a person, has written."""
        state = self._file.changed() if self._file else None
        if state is None:
            return
        version, objects = state
        self._store = Store(version, self._store.changes)
        self._node = Node(self._settings.exit_s)
        for obj in objects:
            self._load(obj)
        self._written = self._store.changes

    def _load(self, obj: Json) -> None:
        metadata = obj["metadata"]
        metadata.setdefault("uid", self._settings.new_uid())
        if "resourceVersion" not in metadata:
            metadata["resourceVersion"] = self._store.next_version()
        self._store.put(obj)

    def _persist(self) -> None:
        """Write what this call has changed, unless another thread's write had it already."""
        if self._file is None:
            return
        with self._mutex:
            wanted = self._store.changes
        with self._writing:
            with self._mutex:
                if self._written >= wanted:
                    return
                store, changes = self._store, self._store.changes
                objects = [entry.raw for entry in store.entries()]
                version = store.version
            draft = self._file.draft(version, objects)
            with self._mutex:
                self._file.replace(draft)
                self._written = changes
