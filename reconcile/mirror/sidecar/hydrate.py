"""Makes a volume what the last committed generation is, and this pod the writer of the next."""

from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from reconcile.mirror.errors import DamagedError, PartialError, StoreAwayError
from reconcile.mirror.head import ROUNDS, claim, exchange, fenced, read_head
from reconcile.mirror.local_state import Mark, find_mark, volume_of, write_mark
from reconcile.mirror.model import Generation, Missing
from reconcile.mirror.protocol import Claimant, Found, Landed, Moved, Taken, claimed
from reconcile.mirror.restore.restore import Means, Restored, Volume, restore


class PartialPolicy(Enum):
    """What to do with a last generation that lacks files."""

    USE = "use"
    REFUSE = "refuse"


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
    restored = restore(volume, means, found.head.generation)
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


def _own(found: Found | None, claimant: Claimant, mark: Mark) -> Found:
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


def _finish(volume: Volume, found: Found) -> None:
    mark = Mark(found.head.writer, found.head.generation.number, volume_of(volume.root))
    write_mark(volume.state, mark)
    volume.state.remove(volume.state.attempt)
