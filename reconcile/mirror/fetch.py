"""Brings the files of a tree from the store, several tasks at a time."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

from reconcile.mirror.concurrency import Lanes, Limit
from reconcile.mirror.model import File, Tree
from reconcile.mirror.restore.tasks import Do, Piece, Task, tasks

Heard: TypeAlias = Callable[[Piece], None]


class Fetch:
    """Lets tasks be done in lanes; `heard` is told what each has brought, in its lane."""

    def __init__(self, do: Do, heard: Heard) -> None:
        self._do = do
        self._heard = heard

    def run(self, tree: Tree, files: Iterable[File], lanes: Lanes, limit: Limit) -> None:
        """Write all these files of a tree.

        Raises:
            DamagedError: An object is missing, or not what its digest says; names it.
            StoreError: One could not be read.
            WorkspaceError: The volume does not let it be written.
        """
        for task in tasks(tree, files):
            lanes.run(partial(self._step, task), limit)
        lanes.drain(limit)

    def _step(self, task: Task) -> None:
        self._heard(self._do(task))
