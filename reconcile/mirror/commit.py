"""Makes a generation the one that counts."""

from typing import TypeAlias

from reconcile.mirror.claim import fenced
from reconcile.mirror.head import exchange
from reconcile.mirror.model import Head
from reconcile.mirror.protocol import Found, Landed, Moved, Taken
from reconcile.mirror.store.port import Store

Committed: TypeAlias = Landed | Moved


def commit(store: Store, attempted: Head, before: Found) -> Committed:
    """Write HEAD with a generation whose manifest and bytes are all stored already.

    Returns:
        Landed where it is acknowledged: the generation counts and will never be lost.
        Moved where an earlier write of the same writer arrived late: begin again from it.

    Raises:
        FencedError: Another writer has claimed the workspace.
        StoreError: It is not known whether it arrived; HEAD must be read before the next commit.
        DamagedError: HEAD was deleted or is no HEAD any more.
    """
    match exchange(store, attempted, before):
        case Taken(found):
            raise fenced(found.head.writer)
        case (Landed() | Moved()) as committed:
            return committed
