"""What a command on a bucket needs: its store, threads, and a clock."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from reconcile.mirror.clock import Clock
from reconcile.mirror.concurrency import Lanes
from reconcile.mirror.journal import JsonJournal
from reconcile.mirror.store.port import Store
from reconcile.mirror.wiring import StoreClock, Where, store_opener


class Opened(Struct, frozen=True):
    """A session's prefix, ready for requests."""

    store: Store
    lanes: Lanes
    clock: Clock


def open_bucket(options: dict[str, Any]) -> Opened:
    """Open the store that command-line options name; SettingsError if they make no sense."""
    clock = StoreClock()
    where = Where(workspace=Path(), state=Path(), **options)
    store = store_opener(where, clock, JsonJournal(clock))()
    return Opened(store, Lanes(where.lanes, "bucket"), clock)
