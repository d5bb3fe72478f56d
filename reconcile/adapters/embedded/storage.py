"""The objects of the cluster, in memory and in a state file, and how they are saved and deleted.

In memory, each object is JSON text: a caller gets a parsed copy, and cannot change the stored one.
The state file has all objects as one JSON list, shared by several processes. Readers need no lock,
since a new state replaces the old one atomically. A writer locks another file (`.lock`) from before
it reads until its change is on the disk.
"""

import contextlib
import errno
import fcntl
import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from reconcile.adapters.embedded.kinds import ServedKind
from reconcile.adapters.embedded.state_shape import find_shape_error
from reconcile.core.errors import ClusterError
from reconcile.core.model import KubeObject, ObjectRef
from reconcile.runtime.clock import add_seconds

JsonDict = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as JSON, with the fields for look-ups."""

    ref: ObjectRef
    uid: str
    labels: JsonDict
    owner_uids: tuple[str, ...]
    raw: bytes

    def load(self) -> JsonDict:
        """Parse a copy that the caller may change."""
        loaded: JsonDict = orjson.loads(self.raw)
        return loaded

    def has_labels(self, labels: Iterable[tuple[str, str]]) -> bool:
        """Return whether the object has all these labels."""
        return all(self.labels.get(key) == value for key, value in labels)


def object_ref(obj: KubeObject) -> ObjectRef:
    """Return the reference of an object."""
    group = str(obj["apiVersion"]).rpartition("/")[0]
    metadata = obj["metadata"]
    return ObjectRef(group, obj["kind"], metadata.get("namespace", ""), metadata["name"])


class ClusterStore:
    """All objects, by name, UID and owner.

    `change_count` is the number of changes so far, `resource_version` the last resourceVersion.
    """

    def __init__(self, resource_version: int = 0, change_count: int = 0) -> None:
        self.resource_version = resource_version
        self.change_count = change_count
        self._kinds: dict[tuple[str, str], dict[str, dict[str, StoredObject]]] = {}
        self._uids: dict[str, ObjectRef] = {}
        self._dependents: dict[str, set[ObjectRef]] = {}
        self._touched: dict[ObjectRef, None] = {}
        self._removed: dict[str, None] = {}

    @property
    def has_changes(self) -> bool:
        """Whether an object was stored or removed since the last `take_changes`."""
        return bool(self._touched or self._removed)

    def find(self, ref: ObjectRef) -> StoredObject | None:
        """Find an object by its name."""
        names = self._kinds.get((ref.group, ref.kind), {}).get(ref.namespace, {})
        return names.get(ref.name)

    def has_uid(self, uid: str) -> bool:
        """Return whether an object with this UID exists."""
        return uid in self._uids

    def list_objects(self, group: str, kind: str, namespace: str) -> list[StoredObject]:
        """List a kind's objects in a namespace, or in all for an empty one, sorted by name."""
        spaces = self._kinds.get((group, kind), {})
        chosen = [namespace] if namespace else sorted(spaces)
        return [
            spaces[each][name] for each in chosen if each in spaces for name in sorted(spaces[each])
        ]

    def all_objects(self) -> Iterator[StoredObject]:
        """Yield all objects, sorted by kind, namespace and name."""
        for group, kind in sorted(self._kinds):
            yield from self.list_objects(group, kind, "")

    def next_resource_version(self) -> str:
        """Return the next resourceVersion."""
        self.resource_version += 1
        return str(self.resource_version)

    def put(self, obj: JsonDict) -> StoredObject:
        """Store a new object, or a new state of an object."""
        metadata = obj["metadata"]
        owners = tuple(owner["uid"] for owner in metadata.get("ownerReferences", ()))
        entry = StoredObject(
            object_ref(obj), metadata["uid"], metadata.get("labels", {}), owners, orjson.dumps(obj)
        )
        self._unindex(entry.ref)
        self._names_in(entry.ref)[entry.ref.name] = entry
        self._uids[entry.uid] = entry.ref
        for owner in owners:
            self._dependents.setdefault(owner, set()).add(entry.ref)
        self._touched[entry.ref] = None
        self.change_count += 1
        return entry

    def remove(self, entry: StoredObject) -> None:
        """Remove an object."""
        self._unindex(entry.ref)
        del self._names_in(entry.ref)[entry.ref.name]
        self._removed[entry.uid] = None
        self.resource_version += 1
        self.change_count += 1

    def dependents(self, uid: str) -> list[StoredObject]:
        """List the objects that name this UID as an owner."""
        found = (self.find(ref) for ref in sorted(self._dependents.get(uid, ())))
        return [entry for entry in found if entry is not None]

    def take_changes(self) -> tuple[list[ObjectRef], list[str]]:
        """Return the stored objects and the removed UIDs since the last call."""
        changes = list(self._touched), list(self._removed)
        self._touched, self._removed = {}, {}
        return changes

    def _names_in(self, ref: ObjectRef) -> dict[str, StoredObject]:
        return self._kinds.setdefault((ref.group, ref.kind), {}).setdefault(ref.namespace, {})

    def _unindex(self, ref: ObjectRef) -> None:
        existing = self.find(ref)
        if existing is None:
            return
        self._uids.pop(existing.uid, None)
        for owner in existing.owner_uids:
            self._dependents[owner].discard(ref)


_RESOURCE_VERSION = re.compile("[0-9]{1,18}", re.ASCII)
_FileSignature: TypeAlias = tuple[int, int, int]
_NO_FILE: _FileSignature = (0, 0, 0)


class StateFile:
    """The state file; its methods raise a ClusterError with its name if it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last_signature: _FileSignature | None = None
        self._mutex = threading.Lock()
        self._lock_holders = 0
        self._lock_fd = -1

    def read_if_changed(self) -> tuple[int, list[dict[str, Any]]] | None:
        """Read the file if it differs from what was last read or written, else return None.

        Returns the last resourceVersion and the objects; a missing file has none.
        """
        signature = self._read_signature()
        if signature == self._last_signature:
            return None
        content = b"" if signature == _NO_FILE else self._read()
        state = (0, []) if signature == _NO_FILE else _parse_state(self._path, content)
        self._last_signature = signature
        return state

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the file against other processes; the threads of this process share the lock."""
        with self._mutex:
            if not self._lock_holders:
                self._lock_fd = self._acquire()
            self._lock_holders += 1
        try:
            yield
        finally:
            with self._mutex:
                self._lock_holders -= 1
                if not self._lock_holders:
                    os.close(self._lock_fd)

    def write_draft(self, version: int, objects: Iterable[bytes]) -> Path:
        """Write a new state to a temporary file in the same folder, and sync it to the disk."""
        head = b'{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":"%d"},"items":[\n'
        with self._wrap_errors("written"):
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            with _remove_on_error(Path(name)), os.fdopen(handle, "wb") as file:
                file.writelines((head % version, b",\n".join(objects), b"\n]}\n"))
                file.flush()
                os.fsync(file.fileno())
            return Path(name)

    def commit(self, draft: Path) -> None:
        """Replace the state file with a draft."""
        with self._wrap_errors("written"), _remove_on_error(draft):
            draft.replace(self._path)
        self._last_signature = self._read_signature()

    def _acquire(self) -> int:
        with self._wrap_errors("locked"):
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            return lock

    def _read(self) -> bytes:
        with self._wrap_errors("read"):
            if self._path.is_fifo() or self._path.is_char_device():
                # A pipe would be waited for, a device read for ever, and both be replaced.
                raise OSError(errno.EINVAL, "it is not a regular file")
            return self._path.read_bytes()

    def _read_signature(self) -> _FileSignature:
        with self._wrap_errors("read"):
            try:
                stat = self._path.stat()
            except FileNotFoundError:
                return _NO_FILE
            return stat.st_mtime_ns, stat.st_ino, stat.st_size

    @contextlib.contextmanager
    def _wrap_errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ClusterError(
                f"{self._path}: the state file cannot be {verb}: {error.strerror}"
            ) from error


@contextlib.contextmanager
def _remove_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _parse_state(path: Path, content: bytes) -> tuple[int, list[dict[str, Any]]]:
    try:
        state = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _not_a_state_file(path, f"it is not JSON ({error})") from error
    items = state.get("items") if isinstance(state, dict) else None
    if not isinstance(items, list):
        raise _not_a_state_file(path, 'it has no list "items"')
    for index, item in enumerate(items):
        if reason := find_shape_error(item):
            raise _not_a_state_file(path, f"items[{index}]{_after(reason)}")
    return max(
        _parse_resource_version(state), *(_parse_resource_version(item) for item in items), 0
    ), items


def _after(reason: str) -> str:
    return reason if reason.startswith(".") else f" {reason}"


def _parse_resource_version(holder: dict[str, Any]) -> int:
    metadata = holder.get("metadata")
    text = str(metadata.get("resourceVersion", "")) if isinstance(metadata, dict) else ""
    return int(text) if _RESOURCE_VERSION.fullmatch(text) else 0


def _not_a_state_file(path: Path, reason: str) -> ClusterError:
    return ClusterError(
        f"{path}: not a state file of the embedded cluster: {reason}; it is not changed: "
        "name another file, or delete this one to start with an empty cluster"
    )


_FINISHED_PHASES = frozenset({"Succeeded", "Failed"})


def save_object(
    store: ClusterStore, kind: ServedKind, old: JsonDict | None, new: JsonDict
) -> JsonDict:
    """Store a state of an object, unless only the times of its managers differ.

    Returns the stored state. An object that is being deleted is removed with its last finalizer.
    """
    if old is not None and _without_times(old) == _without_times(new):
        return old
    metadata = new["metadata"]
    if kind.has_generation:
        changed = old is None or old.get("spec") != new.get("spec")
        metadata["generation"] = metadata.get("generation", 0) + int(changed)
    entry = store.find(object_ref(new))
    if entry and old and old["metadata"].get("finalizers") and _is_ready_to_remove(metadata):
        store.remove(entry)
        return new
    metadata["resourceVersion"] = store.next_resource_version()
    store.put(new)
    return new


def begin_deletion(store: ClusterStore, entry: StoredObject, time: str) -> None:
    """Delete an object as a server does, at once or later.

    A pod on a node has its grace period; an object with finalizers stays until they are removed.
    """
    obj = entry.load()
    metadata = obj["metadata"]
    if "deletionTimestamp" in metadata:
        return
    grace = _grace_seconds(obj)
    if not grace and not metadata.get("finalizers"):
        store.remove(entry)
        return
    metadata["deletionTimestamp"] = add_seconds(time, grace)
    metadata["deletionGracePeriodSeconds"] = grace
    metadata["resourceVersion"] = store.next_resource_version()
    store.put(obj)


def _grace_seconds(obj: JsonDict) -> int:
    spec = obj.get("spec", {})
    if (
        obj["kind"] != "Pod"
        or not spec.get("nodeName")
        or obj["status"].get("phase") in _FINISHED_PHASES
    ):
        return 0
    return int(spec["terminationGracePeriodSeconds"])


def _is_ready_to_remove(metadata: JsonDict) -> bool:
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata["deletionGracePeriodSeconds"]
    )


def _without_times(obj: JsonDict) -> JsonDict:
    metadata = dict(obj["metadata"])
    entries = metadata.pop("managedFields", ())
    owned = [{key: entry[key] for key in entry if key != "time"} for entry in entries]
    owned.sort(key=lambda entry: (entry.get("operation", ""), entry.get("manager", ""), str(entry)))
    return {**obj, "metadata": metadata, "managedFields": owned}
