"""Makes a volume what the last committed generation is, and this pod the writer of the next."""

import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from reconcile.mirror.claim import ROUNDS, claim, fenced
from reconcile.mirror.clock import Clock
from reconcile.mirror.errors import DamagedError, PartialError, StoreAwayError
from reconcile.mirror.exchange import exchange, read_head
from reconcile.mirror.fetch import Fetch, Heard
from reconcile.mirror.hands import Hands
from reconcile.mirror.helper import Helper, Nobody
from reconcile.mirror.index import Index, index_of, save_index
from reconcile.mirror.lanes import Lanes
from reconcile.mirror.limit import Limit
from reconcile.mirror.mark import Mark, find_mark, volume_of, write_mark
from reconcile.mirror.model import Generation, Missing, Tree
from reconcile.mirror.passes import survey
from reconcile.mirror.position import last_manifest, read_tree
from reconcile.mirror.protocol import Claimant, Landed, Moved, Taken, claimed
from reconcile.mirror.protocol import Found as FoundHead
from reconcile.mirror.recording import Record
from reconcile.mirror.state import StateDirectory
from reconcile.mirror.store.port import Store
from reconcile.mirror.tasks import Do, Piece, Task, sizes
from reconcile.mirror.tree.excludes import Excludes
from reconcile.mirror.tree.restoring import Found, Restorer
from reconcile.mirror.tree.sharing import Bounds

_NOBODYS = frozenset({"lost+found"})
"""What a volume has that is empty."""


class PartialPolicy(Enum):
    """What to do with a last generation that lacks files."""

    USE = "use"
    REFUSE = "refuse"


class Volume(Struct, frozen=True):
    """Where to restore to, and where the mirror keeps its own notes."""

    root: Path
    state: StateDirectory
    excludes: Excludes


class Means(Struct, frozen=True):
    """How to restore; `trusted` raises a StoreError where the store is not fit for more."""

    store: Store
    lanes: Lanes
    clock: Clock
    heard: Heard
    trusted: Callable[[], None]
    helper: Helper = Nobody()


class Restored(Struct, frozen=True):
    """The volume is this generation, which may be the empty one of a new session."""

    generation: Generation
    files: int
    size: int


class Kept(Struct, frozen=True):
    """The volume was this pod's already and is left as it is: it may be ahead of the snapshot."""

    generation: Generation


Hydrated: TypeAlias = Restored | Kept


def hydrate(volume: Volume, means: Means, claimant: Claimant, policy: PartialPolicy) -> Hydrated:
    """Claim the workspace, restore it, and leave the mark last.

    The claim comes first: from then on a predecessor can commit nothing, so that what is restored
    is the last that will ever count before this pod's own.

    Raises:
        StoreError: The store could not be read or written.
        DamagedError: HEAD, a manifest or a pack is missing, altered or malformed; names it.
        UnknownFormatError: Another version wrote them.
        PartialError: The generation lacks files and the policy refuses that.
        FencedError: The volume was this pod's, but another pod has written since.
        WorkspaceError: The volume cannot be written.
    """
    mark = find_mark(volume.state)
    if mark is not None and mark.volume == volume_of(volume.root):
        return _keep(volume, means, claimant, mark)
    volume.state.remove(volume.state.mark)
    found = claim(means.store, claimant, means.clock)
    _check_whole(found.head.generation, policy)
    restored = _restore(volume, means, found.head.generation)
    means.trusted()
    _finish(volume, found)
    return restored


def _keep(volume: Volume, means: Means, claimant: Claimant, mark: Mark) -> Kept:
    """Claim anew, if nobody else has: a container that starts again must not undo what was done.

    It claims over what is this volume's own and over nothing else. So a later epoch of its own is
    that of a start that was cut off before it left its mark.
    """
    found = _own(read_head(means.store), claimant, mark)
    for _ in range(ROUNDS):
        attempted = claimed(found, claimant, means.clock.time_ns())
        match exchange(means.store, attempted, found):
            case Landed(landed):
                _finish(volume, landed)
                return Kept(landed.head.generation)
            case Moved(other) | Taken(other):
                found = _own(other, claimant, mark)
    raise StoreAwayError(f"HEAD changed {ROUNDS} times while it was being claimed anew")


def _own(found: FoundHead | None, claimant: Claimant, mark: Mark) -> FoundHead:
    """Return HEAD if whoever wrote it wrote from this volume."""
    if found is None:
        raise DamagedError(
            "HEAD is gone though this pod has claimed it: somebody deleted it, or the bucket or "
            "prefix has changed"
        )
    writer = found.head.writer
    if writer.uid not in {mark.writer.uid, claimant.uid} or writer.epoch < mark.writer.epoch:
        raise fenced(writer)
    return found


def _check_whole(generation: Generation, policy: PartialPolicy) -> None:
    lacks = generation.completeness
    if isinstance(lacks, Missing) and policy is PartialPolicy.REFUSE:
        raise PartialError(
            f"generation {generation.number} is partial: the last {lacks.files} files with "
            f"{lacks.size} bytes could not be stored before its pod ended. Use it all the same "
            "with `--partial use`, or restore an earlier generation"
        )


def _restore(volume: Volume, means: Means, generation: Generation) -> Restored:
    means.helper.expect(sum(ref.size for ref in generation.chain))
    tree = read_tree(means.store, volume.state, generation)
    if tree.entries:
        return _write(volume, means, tree, generation)
    save_index(volume.state, _looked_at(volume, tree, generation, means.clock))
    return Restored(generation, 0, 0)


def _write(volume: Volume, means: Means, tree: Tree, generation: Generation) -> Restored:
    """Restore, and write the index, so that the first sync reads only what the snapshot has not."""
    restorer = Restorer(volume.root, tree.entries.values(), _whose(volume))
    restorer.begin()
    was_empty, files, record = restorer.was_empty, restorer.files, Record()
    try:
        do = _recorded(_with_help(Hands(means.store, restorer).do, restorer, means.helper), record)
        Fetch(do, means.heard).run(tree, files, means.lanes, Limit(means.clock))
        restorer.finish()
    finally:
        restorer.close()
    if was_empty:
        index = record.index(last_manifest(generation), volume.root, tree.entries)
    else:
        index = _looked_at(volume, tree, generation, means.clock)
    save_index(volume.state, index)
    return Restored(generation, len(files), sum(file.size for file in files))


def _recorded(do: Do, record: Record) -> Do:
    def recorded(task: Task) -> Piece:
        piece = do(task)
        record.add(task, piece)
        return piece

    return recorded


def _with_help(own: Do, restorer: Restorer, helper: Helper) -> Do:
    def done(task: Task) -> None:
        for path, size in sizes(task):
            restorer.written(path, size)

    return helper.beside(own, done) if restorer.was_empty else own


def _whose(volume: Volume) -> Found:
    """Tell whether what the volume holds comes from an earlier attempt of ours alone.

    That is noted before the first byte is written, and only if the volume is empty then.
    """
    this = volume_of(volume.root)
    note = b"%d %d\n" % (this.device, this.inode)
    if volume.state.read(volume.state.attempt) == note:
        return Found.OURS
    if {path.name for path in volume.root.iterdir()} <= _NOBODYS:
        volume.state.write(volume.state.attempt, note)
    return Found.STRANGERS


def _looked_at(volume: Volume, tree: Tree, generation: Generation, clock: Clock) -> Index:
    bounds = Bounds(sys.maxsize, lambda: tree.entries)
    seen = survey(volume.root, volume.excludes, bounds, Limit(clock)).seen
    strange = [place for place, one in enumerate(seen) if one.path not in tree.entries]
    return index_of(last_manifest(generation), seen, strange)


def _finish(volume: Volume, found: FoundHead) -> None:
    mark = Mark(found.head.writer, found.head.generation.number, volume_of(volume.root))
    write_mark(volume.state, mark)
    volume.state.remove(volume.state.attempt)
