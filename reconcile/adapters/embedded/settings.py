"""What tests and simulations may choose about an embedded cluster."""

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass

from reconcile.adapters.embedded.times import utc_now


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
