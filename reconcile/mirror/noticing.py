"""Looks, before a commit, whether garbage collection deletes what the commit would name."""

from collections.abc import Callable, Iterable

from reconcile.mirror.errors import MissingObjectError, StoreAwayError
from reconcile.mirror.snapshot.gc import OLDEST, SWEEP, concerns, decode_notice
from reconcile.mirror.store.port import Store

NamesAnew = Callable[[], Iterable[str]]


class ContestedError(StoreAwayError):
    """What was stored may be gone again: it must be stored anew, some time later."""


def check_notices(store: Store, names: NamesAnew, since: float, now: float) -> None:
    """See that nothing that is about to be committed is being deleted.

    To be called when the manifest is stored, and before HEAD is written.

    Args:
        store: Where notices are.
        names: The keys that the new generation names and the one before does not.
        since: From when on they were stored, in seconds since 1970.
        now: What time it is.

    Raises:
        ContestedError: One of them is, or all this was stored too long ago to be sure.
        StoreError: Notices could not be read.
        DamagedError: One is malformed.
        UnknownFormatError: Another version wrote one.
    """
    if now - since > OLDEST:
        raise ContestedError("what was stored is days old and was never committed: it is sent anew")
    for listed in list(store.list(SWEEP)):
        if not concerns(listed.modified, since):
            continue
        try:
            deleted = set(decode_notice(store.get(listed.key).body).keys)
        except MissingObjectError:
            continue
        contested = next((key for key in names() if key in deleted), None)
        if contested is not None:
            raise ContestedError(
                f"{contested} is being deleted by garbage collection: it is stored anew, and "
                "committed once that is over"
            )
