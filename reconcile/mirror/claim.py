"""A pod takes a workspace over: from then on whoever had it before can commit no more."""

from reconcile.mirror.clock import Clock
from reconcile.mirror.errors import FencedError, StoreAwayError
from reconcile.mirror.head import exchange, read_head
from reconcile.mirror.model import Writer
from reconcile.mirror.protocol import Claimant, Found, Landed, Moved, Taken, claimed
from reconcile.mirror.store.port import Store

ROUNDS = 20
"""How often others may come in between before a claim gives up."""

_PAUSE = 0.2


def claim(store: Store, claimant: Claimant, clock: Clock) -> Found:
    """Make this pod the writer; returns HEAD as it is then, with the last committed generation.

    HEAD is what the claim itself wrote, so that nothing can be committed between the look and the
    claim: a predecessor's commit comes either before it and is in it, or is refused.

    Raises:
        StoreError: HEAD could not be read, or it is not known whether the claim arrived.
        DamagedError: HEAD cannot be read as one.
        UnknownFormatError: Another version wrote it.
    """
    found = read_head(store)
    for _ in range(ROUNDS):
        attempted = claimed(found, claimant, clock.time_ns())
        match exchange(store, attempted, found):
            case Landed(landed):
                return landed
            case Moved(other) | Taken(other):
                found = other
                clock.sleep(_PAUSE * clock.jitter())
    raise StoreAwayError(
        f"HEAD changed {ROUNDS} times while it was being claimed: are other pods of this session "
        "starting again and again?"
    )


def fenced(writer: Writer) -> FencedError:
    """Say who has the workspace now."""
    return FencedError(
        f"pod {writer.name or '?'} (UID {writer.uid}, epoch {writer.epoch}) has taken this "
        "workspace over; this one writes nothing any more. Delete this pod if the other is wanted, "
        "or the other and then this one"
    )
