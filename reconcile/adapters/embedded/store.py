"""The objects in memory, found by name, by UID and by owner.

Each is kept as JSON text: to hand one out is to parse it, so that nobody can change what is kept.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from reconcile.core.model import KubeObject, ObjectRef

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
