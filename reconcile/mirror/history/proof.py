"""Who wants to delete proves first, on a scratch object of its own, that it may and that it works.

The scratch object also tells what time it is by the store's own clock.
"""

import hashlib
import uuid

from reconcile.mirror.errors import MissingObjectError, StoreError
from reconcile.mirror.store.conditional import Verdict, demand, probe
from reconcile.mirror.store.port import Store

PROBE = "probe/"


def prove(store: Store) -> None:
    """Prove that conditional writes are honoured, and that what is deleted is gone.

    Raises:
        DeniedError: The key may not delete.
        StoreError: The store ignores conditional writes, or does not delete.
    """
    verdict: Verdict = probe(store, f"{PROBE}{uuid.uuid4()}")
    demand(verdict, single_writer=False)
    key = _scratch(store)
    store.delete([key])
    try:
        store.get(key)
    except MissingObjectError:
        return
    raise StoreError(
        f"the store says that it has deleted {key}, which is there still: nothing is collected on "
        "a store like that"
    )


def store_time(store: Store) -> float:
    """Return the store's own time in seconds since 1970, told by an object that is written now.

    Raises:
        StoreError: It could not be written or listed.
    """
    key = _scratch(store)
    modified = [listed.modified for listed in store.list(key) if listed.key == key]
    store.delete([key])
    if not modified:
        raise StoreError(f"{key} was written but is not listed: listings must be up to date")
    return modified[0]


def _scratch(store: Store) -> str:
    key = f"{PROBE}{uuid.uuid4()}"
    body = key.encode()
    store.put(key, [body], hashlib.sha256(body).hexdigest())
    return key
