"""`python collecting.py SECRET PREFIX`: one garbage collection that finds nothing too young.

A program of its own, so that it can be killed; the command line asks for an hour of grace.
"""

import sys

from reconcile.mirror.history.gc import GarbageCollector, GcPolicy
from reconcile.mirror.snapshot.retention import RetentionPolicy
from reconcile.mirror.store.factory import Mounts, StoreOptions, open_store
from reconcile.mirror.store.port import Store
from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
from reconcile.runtime.clock import SystemClock

RULES = GcPolicy(RetentionPolicy(1, 0, 0), grace=0.0, skew=0.0)


def collect(store: Store) -> None:
    """Keep nothing but the last generation."""
    GarbageCollector(store, RULES, SystemClock()).collect()


if __name__ == "__main__":
    mounts, place = Mounts(sys.argv[1], "", "", ""), StoreOptions(sys.argv[2], "test")
    collect(RetryingStore(open_store(mounts, place), SystemClock(), RetryPolicy(30)))
