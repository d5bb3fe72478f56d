"""Background garbage collection: what has owners goes when none of them is left."""

from reconcile.adapters.embedded.saving import begin_deletion
from reconcile.adapters.embedded.store import Entry, Store
from reconcile.core.model import ObjectRef


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
