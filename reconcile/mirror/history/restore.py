"""Writes a generation into an empty directory; nobody's claim is touched, nothing is marked."""

from pathlib import Path

from msgspec import Struct

from reconcile.mirror.clock import Clock
from reconcile.mirror.concurrency import Lanes, Limit
from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.history.generations import read_tree
from reconcile.mirror.model import Generation
from reconcile.mirror.restore.downloader import Hands
from reconcile.mirror.restore.tasks import Fetch, Piece
from reconcile.mirror.store.port import Store
from reconcile.mirror.workspace.restorer import Restorer


class Restored(Struct, frozen=True):
    """What was written: so many files with so many bytes."""

    files: int
    size: int


def restore(
    store: Store, generation: Generation, target: Path, lanes: Lanes, clock: Clock
) -> Restored:
    """Restore a generation; every byte is checked by its digest.

    Raises:
        WorkspaceError: The directory is not empty, or cannot be made or written.
        DamagedError: An object is missing or altered; names it.
        StoreError: The store could not be read.
    """
    _make_empty(target)
    tree = read_tree(store, generation)
    if not tree.entries:
        return Restored(0, 0)
    restorer = Restorer(target, tree.entries.values())
    restorer.begin()
    files = restorer.files
    try:
        fetch = Fetch(Hands(store, restorer).do, _nobody)
        fetch.run(tree, files, lanes, Limit(clock))
        restorer.finish()
    finally:
        restorer.close()
    return Restored(len(files), sum(file.size for file in files))


def _make_empty(target: Path) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        there = next((path.name for path in target.iterdir()), None)
    except OSError as error:
        raise WorkspaceError(f"{target} cannot be used: {error.strerror}") from None
    if there is not None:
        raise WorkspaceError(
            f"{target} is not empty: it has {there!r}. A restore goes into a directory of its own, "
            "never into a workspace that is in use"
        )


def _nobody(_piece: Piece) -> None:
    """Nobody watches the progress."""
