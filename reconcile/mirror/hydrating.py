"""The process of `hydrate`, from its start to its exit code."""

from contextlib import closing

from reconcile.mirror.concurrency import Lanes
from reconcile.mirror.door import Door, serve
from reconcile.mirror.exit_codes import Exit
from reconcile.mirror.journal import JsonJournal
from reconcile.mirror.model import Whole
from reconcile.mirror.protocol import Claimant
from reconcile.mirror.restore.downloader import Hands
from reconcile.mirror.restore.restore import Means, Restored, Volume
from reconcile.mirror.restore.tasks import Do, Piece
from reconcile.mirror.restore.worker import Helper, Nobody, When, fork_helper
from reconcile.mirror.sidecar.hydrate import Hydrated, Kept, PartialPolicy, hydrate
from reconcile.mirror.sidecar.status import FactBook, Facts
from reconcile.mirror.wiring import Holding, Probing, StoreClock, Where, store_opener
from reconcile.mirror.workspace.writer import Empty, Filler


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
    _tell(done, JsonJournal(clock), round(clock.monotonic() - began, 3))
    return Exit.OK


def _volume(where: Where) -> Volume:
    return Volume(where.workspace, where.directory, where.patterns())


def _means(where: Where, clock: StoreClock, facts: FactBook, helper: Helper) -> Means:
    journal = JsonJournal(clock)
    holding = Holding(_never, lambda seconds: facts.count(held=seconds))
    store = store_opener(where, clock, journal, holding, refusals=True)()
    probing = Probing(store, single_writer=where.single_writer)
    progress = Progress(facts, journal, clock)
    lanes = Lanes(where.lanes, "fetch")
    return Means(store, lanes, clock, progress.heard, probing.demand, helper)


def _helper(where: Where, clock: StoreClock, when: When) -> Helper:
    """Start a second process, which has half of the lanes."""

    def make() -> Do:
        store = store_opener(where, clock, JsonJournal(clock), refusals=True)()
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
