"""Makes a volume what the last committed generation is, and this pod the writer of the next.

The process of `hydrate`, from its start to its exit code.
"""

from contextlib import closing
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from reconcile.mirror.concurrency import Lanes
from reconcile.mirror.errors import DamagedError, PartialError, StoreAwayError
from reconcile.mirror.exit_codes import Exit
from reconcile.mirror.head import ROUNDS, claim, exchange, fenced, read_head
from reconcile.mirror.local_state import Mark, find_mark, volume_of, write_mark
from reconcile.mirror.model import Generation, Missing, Whole
from reconcile.mirror.protocol import Claimant, Found, Landed, Moved, Taken, claimed
from reconcile.mirror.restore.downloader import Hands
from reconcile.mirror.restore.restore import Means, Restored, Volume, restore
from reconcile.mirror.restore.tasks import Do, Piece
from reconcile.mirror.restore.worker import Helper, Nobody, When, fork_helper
from reconcile.mirror.sidecar.status import Door, FactBook, Facts, serve
from reconcile.mirror.wiring import Holding, Probing, StoreClock, Where, store_opener
from reconcile.mirror.workspace.writer import Empty, Filler
from reconcile.runtime.logging import JsonJournal


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


def run_hydrate(
    where: Where, claimant: Claimant, policy: PartialPolicy, door: Door, helped: When
) -> Exit:
    """Restore the workspace; raises a MirrorError where that fails."""
    clock = StoreClock()
    # First of all: only a process without threads can be forked.
    with closing(_helper(where, clock, helped)) as helper:
        facts = FactBook(Facts(phase="hydrating"))
        serve(door, facts, clock)
        began = clock.monotonic()
        done = hydrate(_volume(where), _means(where, clock, facts, helper), claimant, policy)
    facts.set(phase="ended", generation=done.generation.number)
    _tell(done, JsonJournal(clock.time_ns), round(clock.monotonic() - began, 3))
    return Exit.OK


def _volume(where: Where) -> Volume:
    return Volume(where.workspace, where.directory, where.patterns())


def _means(where: Where, clock: StoreClock, facts: FactBook, helper: Helper) -> Means:
    journal = JsonJournal(clock.time_ns)
    holding = Holding(_never, lambda seconds: facts.count(held=seconds))
    store = store_opener(where, clock, journal, holding, refusals=True)()
    probing = Probing(store, single_writer=where.single_writer)
    progress = Progress(facts, journal, clock)
    lanes = Lanes(where.lanes, "fetch")
    return Means(store, lanes, clock, progress.heard, probing.demand, helper)


def _helper(where: Where, clock: StoreClock, when: When) -> Helper:
    """Start a second process, which has half of the lanes."""

    def make() -> Do:
        store = store_opener(where, clock, JsonJournal(clock.time_ns), refusals=True)()
        return Hands(store, Filler(where.workspace, Empty(where.workspace))).do

    # With a bound it is the bandwidth that counts, and two processes would each have their own.
    return Nobody() if where.bandwidth else fork_helper(where.lanes // 2, make, when)


def _tell(done: Hydrated, journal: JsonJournal, seconds: float) -> None:
    match done:
        case Restored(generation, files, size):
            journal.info(
                "restored",
                generation=generation.number,
                partial=generation.completeness != Whole(),
                files=files,
                bytes=size,
                seconds=seconds,
            )
        case Kept(generation):
            journal.info("kept", generation=generation.number, seconds=seconds)


class Progress:
    """Counts what hydrate brings, and says so once a second at most."""

    def __init__(self, facts: FactBook, journal: JsonJournal, clock: StoreClock) -> None:
        self._facts = facts
        self._journal = journal
        self._clock = clock
        self._said = clock.monotonic()

    def heard(self, piece: Piece) -> None:
        """Count a piece; called from several threads."""
        self._facts.count(restored=piece.size, restored_files=piece.files)
        if self._clock.monotonic() - self._said >= 1.0:
            self._said = self._clock.monotonic()
            now = self._facts.now
            self._journal.info("restoring", files=now.restored_files, bytes=now.restored)


def _never() -> bool:
    return False
