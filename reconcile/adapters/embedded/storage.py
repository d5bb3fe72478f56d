"""The state file: all objects as one JSON list, shared by several processes.

Readers need no lock, since a new state replaces the old one in one step. Writers hold a lock on a
file beside it from before they read until what they wrote is on the disk.

The objects in memory, found by name, by UID and by owner.

Each is kept as JSON text: to hand one out is to parse it, so that nobody can change what is kept.

How an object enters the store, changes in it, and leaves it.
"""

import contextlib
import fcntl
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from reconcile.adapters.embedded.kinds import Served
from reconcile.core.errors import ClusterError
from reconcile.core.model import KubeObject, ObjectRef
from reconcile.runtime.clock import later

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as JSON, with what it is looked up by."""

    ref: ObjectRef
    uid: str
    labels: Json
    owners: tuple[str, ...]
    raw: bytes

    def load(self) -> Json:
        """Parse a copy that the caller may change."""
        loaded: Json = orjson.loads(self.raw)
        return loaded

    def carries(self, labels: Iterable[tuple[str, str]]) -> bool:
        """Tell whether the object has all these labels."""
        return all(self.labels.get(key) == value for key, value in labels)


def ref_of(obj: KubeObject) -> ObjectRef:
    """Name an object."""
    group = str(obj["apiVersion"]).rpartition("/")[0]
    metadata = obj["metadata"]
    return ObjectRef(group, obj["kind"], metadata.get("namespace", ""), metadata["name"])


class Store:
    """All objects; `changes` counts what was done to them, `version` is the resourceVersion."""

    def __init__(self, version: int = 0, changes: int = 0) -> None:
        self.version = version
        self.changes = changes
        self._kinds: dict[tuple[str, str], dict[str, dict[str, Entry]]] = {}
        self._uids: dict[str, ObjectRef] = {}
        self._dependents: dict[str, set[ObjectRef]] = {}
        self._touched: dict[ObjectRef, None] = {}
        self._removed: dict[str, None] = {}

    @property
    def is_touched(self) -> bool:
        """Whether anything has come or gone since the last `drain`."""
        return bool(self._touched or self._removed)

    def find(self, ref: ObjectRef) -> Entry | None:
        """Look an object up by its name."""
        names = self._kinds.get((ref.group, ref.kind), {}).get(ref.namespace, {})
        return names.get(ref.name)

    def has(self, uid: str) -> bool:
        """Tell whether an object with this UID exists."""
        return uid in self._uids

    def select(self, group: str, kind: str, namespace: str) -> list[Entry]:
        """List a kind's objects in a namespace, or in all for an empty one, sorted by name."""
        spaces = self._kinds.get((group, kind), {})
        chosen = [namespace] if namespace else sorted(spaces)
        return [
            spaces[each][name] for each in chosen if each in spaces for name in sorted(spaces[each])
        ]

    def entries(self) -> Iterator[Entry]:
        """Yield everything, sorted by kind, namespace and name."""
        for group, kind in sorted(self._kinds):
            yield from self.select(group, kind, "")

    def next_version(self) -> str:
        """Draw the next resourceVersion."""
        self.version += 1
        return str(self.version)

    def put(self, obj: Json) -> Entry:
        """Keep a new object, or a new state of one."""
        metadata = obj["metadata"]
        owners = tuple(owner["uid"] for owner in metadata.get("ownerReferences", ()))
        entry = Entry(
            ref_of(obj), metadata["uid"], metadata.get("labels", {}), owners, orjson.dumps(obj)
        )
        self._forget(entry.ref)
        self._names(entry.ref)[entry.ref.name] = entry
        self._uids[entry.uid] = entry.ref
        for owner in owners:
            self._dependents.setdefault(owner, set()).add(entry.ref)
        self._touched[entry.ref] = None
        self.changes += 1
        return entry

    def remove(self, entry: Entry) -> None:
        """Drop an object for good."""
        self._forget(entry.ref)
        del self._names(entry.ref)[entry.ref.name]
        self._removed[entry.uid] = None
        self.version += 1
        self.changes += 1

    def dependents(self, uid: str) -> list[Entry]:
        """List the objects that name this UID as an owner."""
        found = (self.find(ref) for ref in sorted(self._dependents.get(uid, ())))
        return [entry for entry in found if entry is not None]

    def drain(self) -> tuple[list[ObjectRef], list[str]]:
        """Take what was touched, and which UIDs went, since the last time."""
        news = list(self._touched), list(self._removed)
        self._touched, self._removed = {}, {}
        return news

    def _names(self, ref: ObjectRef) -> dict[str, Entry]:
        return self._kinds.setdefault((ref.group, ref.kind), {}).setdefault(ref.namespace, {})

    def _forget(self, ref: ObjectRef) -> None:
        known = self.find(ref)
        if known is None:
            return
        self._uids.pop(known.uid, None)
        for owner in known.owners:
            self._dependents[owner].discard(ref)


_Signature: TypeAlias = tuple[int, int, int]
_NO_FILE: _Signature = (0, 0, 0)


class StateFile:
    """One file; every method raises ClusterError, with the file's name, where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: _Signature | None = None
        self._guard = threading.Lock()
        self._users = 0
        self._lock = -1

    def changed(self) -> tuple[int, list[dict[str, Any]]] | None:
        """Read the file if another state lies there than was read or written last.

        Returns the resourceVersion that was reached, and the objects; an absent file has none.
        """
        signature = self._signature()
        if signature == self._seen:
            return None
        content = b"" if signature == _NO_FILE else self._read()
        state = (0, []) if signature == _NO_FILE else _parsed(self._path, content)
        self._seen = signature
        return state

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing; threads of this one share the lock."""
        with self._guard:
            if not self._users:
                self._lock = self._acquire()
            self._users += 1
        try:
            yield
        finally:
            with self._guard:
                self._users -= 1
                if not self._users:
                    os.close(self._lock)

    def draft(self, version: int, objects: Iterable[bytes]) -> Path:
        """Write a new state beside the file, down to the disk."""
        head = b'{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":"%d"},"items":[\n'
        with self._named_errors("written"):
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            with _removed_on_error(Path(name)), os.fdopen(handle, "wb") as file:
                file.writelines((head % version, b",\n".join(objects), b"\n]}\n"))
                file.flush()
                os.fsync(file.fileno())
            return Path(name)

    def replace(self, draft: Path) -> None:
        """Make a draft the state."""
        with self._named_errors("written"), _removed_on_error(draft):
            draft.replace(self._path)
        self._seen = self._signature()

    def _acquire(self) -> int:
        with self._named_errors("locked"):
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            return lock

    def _read(self) -> bytes:
        with self._named_errors("read"):
            return self._path.read_bytes()

    def _signature(self) -> _Signature:
        with self._named_errors("read"):
            try:
                stat = self._path.stat()
            except FileNotFoundError:
                return _NO_FILE
            return stat.st_mtime_ns, stat.st_ino, stat.st_size

    @contextlib.contextmanager
    def _named_errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ClusterError(
                f"{self._path}: the state file cannot be {verb}: {error.strerror}"
            ) from error


@contextlib.contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _parsed(path: Path, content: bytes) -> tuple[int, list[dict[str, Any]]]:
    try:
        state = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _foreign(path, f"it is not JSON ({error})") from error
    items = state.get("items") if isinstance(state, dict) else None
    if not isinstance(items, list):
        raise _foreign(path, 'it has no list "items"')
    for index, item in enumerate(items):
        if not _is_object(item):
            raise _foreign(path, f"items[{index}] is not an object with kind and name")
    return max(_version(state), *(_version(item) for item in items), 0), items


def _is_object(item: Any) -> bool:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(metadata, dict):
        return False
    identity = (item.get("apiVersion"), item.get("kind"), metadata.get("name"))
    return all(isinstance(part, str) and part for part in identity)


def _version(holder: dict[str, Any]) -> int:
    text = str((holder.get("metadata") or {}).get("resourceVersion", ""))
    return int(text) if text.isascii() and text.isdigit() else 0


def _foreign(path: Path, reason: str) -> ClusterError:
    return ClusterError(
        f"{path}: not a state file of the embedded cluster: {reason}; it is left as it is: "
        "name another file, or delete this one to start with an empty cluster"
    )


_ENDED = frozenset({"Succeeded", "Failed"})


def save(store: Store, served: Served, old: Json | None, new: Json) -> Json:
    """Store a state of an object, unless nothing but the times of its managers is new.

    Returns what the object then is. One that is being deleted goes with its last finalizer.
    """
    if old is not None and _timeless(old) == _timeless(new):
        return old
    metadata = new["metadata"]
    if served.counts_generations:
        changed = old is None or old.get("spec") != new.get("spec")
        metadata["generation"] = metadata.get("generation", 0) + int(changed)
    entry = store.find(ref_of(new))
    if entry and old and old["metadata"].get("finalizers") and _waits_for_nothing(metadata):
        store.remove(entry)
        return new
    metadata["resourceVersion"] = store.next_version()
    store.put(new)
    return new


def begin_deletion(store: Store, entry: Entry, time: str) -> None:
    """Delete an object as the server does: at once, or after what it has to wait for.

    A pod on a node has its grace period; what has finalizers stays until they are gone.
    """
    obj = entry.load()
    metadata = obj["metadata"]
    if "deletionTimestamp" in metadata:
        return
    grace = _grace(obj)
    if not grace and not metadata.get("finalizers"):
        store.remove(entry)
        return
    metadata["deletionTimestamp"] = later(time, grace)
    metadata["deletionGracePeriodSeconds"] = grace
    metadata["resourceVersion"] = store.next_version()
    store.put(obj)


def _grace(obj: Json) -> int:
    spec = obj.get("spec", {})
    if obj["kind"] != "Pod" or not spec.get("nodeName") or obj["status"].get("phase") in _ENDED:
        return 0
    return int(spec["terminationGracePeriodSeconds"])


def _waits_for_nothing(metadata: Json) -> bool:
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata["deletionGracePeriodSeconds"]
    )


def _timeless(obj: Json) -> Json:
    metadata = dict(obj["metadata"])
    entries = metadata.pop("managedFields", ())
    owned = [{key: entry[key] for key in entry if key != "time"} for entry in entries]
    owned.sort(key=lambda entry: (entry.get("operation", ""), entry.get("manager", ""), str(entry)))
    return {**obj, "metadata": metadata, "managedFields": owned}
