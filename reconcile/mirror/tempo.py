"""When to look at the workspace again, and when to sync it. Pure."""

from msgspec import Struct

SHARE = 50
"""A look may take one part in so many of the time, whatever the size of the tree."""


class Tempo(Struct, frozen=True):
    """Seconds: a sync at least each `interval`, looks for the end of a burst each `look`.

    While the end is near, syncs follow each other with `pause` between them.
    """

    interval: float = 30.0
    look: float = 2.0
    pause: float = 0.5


class Looked(Struct, frozen=True):
    """What a look has found.

    `print` changes with the tree; `differs` says whether it is other than what is committed.
    """

    print: int
    differs: bool
    seconds: float


def due(tempo: Tempo, last: Looked | None, now: Looked, since: float) -> bool:
    """Tell whether to sync: a burst has ended, or it goes on for longer than the interval.

    A burst has ended where two looks in a row see the same tree.

    Args:
        tempo: The seconds that are asked for.
        last: The look before, if there was one since the last sync.
        now: The look that was just taken.
        since: Seconds since the last sync.
    """
    if not now.differs:
        return False
    ended = last is not None and last.print == now.print
    return ended or since >= tempo.interval


def next_look(tempo: Tempo, seconds: float) -> float:
    """Return how long to wait before the next look, which took so many seconds this time."""
    return min(max(tempo.look, seconds * SHARE), max(tempo.interval, tempo.look))
