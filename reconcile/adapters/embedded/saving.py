"""How an object enters the store, changes in it, and leaves it."""

from reconcile.adapters.embedded.kinds import Served
from reconcile.adapters.embedded.store import Entry, Json, Store, ref_of
from reconcile.adapters.embedded.times import later

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
