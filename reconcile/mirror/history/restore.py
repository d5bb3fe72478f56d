"""Restores a generation into an empty directory, without a claim and without a hydrate marker."""

from pathlib import Path

from msgspec import Struct

from reconcile.mirror.clock import Clock
from reconcile.mirror.concurrency import Deadline, WorkerPool
from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.history.generations import read_generation_tree
from reconcile.mirror.model import Generation
from reconcile.mirror.restore.downloader import Downloader
from reconcile.mirror.restore.tasks import plan_tasks, run_tasks
from reconcile.mirror.store.port import Store
from reconcile.mirror.workspace.restorer import Restorer


class RestoreResult(Struct, frozen=True):
    """How many files with content were written, and their bytes."""

    files: int
    size: int


def restore_to_directory(
    store: Store, generation: Generation, target: Path, pool: WorkerPool, clock: Clock
) -> RestoreResult:
    """Restore a generation; the digest of every blob is checked.

    Raises:
        WorkspaceError: The directory is not empty, or cannot be created or written.
        DamagedError: An object is missing or altered; names it.
        StoreError: The store could not be read.
    """
    _create_empty_directory(target)
    tree = read_generation_tree(store, generation)
    if not tree.entries:
        return RestoreResult(0, 0)
    restorer = Restorer(target, tree.entries.values())
    restorer.begin()
    files = restorer.files
    try:
        run_task = Downloader(store, restorer).run_task
        run_tasks(run_task, plan_tasks(tree, files), pool, Deadline(clock))
        restorer.finish()
    finally:
        restorer.close()
    return RestoreResult(len(files), sum(file.size for file in files))


def _create_empty_directory(target: Path) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        existing = next((path.name for path in target.iterdir()), None)
    except OSError as error:
        raise WorkspaceError(f"{target} cannot be used: {error.strerror}") from None
    if existing is not None:
        raise WorkspaceError(
            f"{target} is not empty: it contains {existing!r}. Give a new or empty directory, not "
            "a workspace that is in use"
        )
