"""Keeps the snapshot equal to the workspace, one pass at a time.

Looks, before a commit, whether garbage collection deletes what the commit would name.
"""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.backup.archiver import Capture, Captured, Effort, Survey, survey
from reconcile.mirror.backup.repack import Tidied, tidy
from reconcile.mirror.backup.uploader import Uploads
from reconcile.mirror.clock import Clock, Since
from reconcile.mirror.concurrency import Lanes
from reconcile.mirror.errors import MissingObjectError, StoreAwayError, WorkspaceError
from reconcile.mirror.head import Position, commit, last_manifest, read_own_head, read_tree
from reconcile.mirror.index import Index, index_of, load_index, save_index
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Completeness, Generation, Missing, Tree, Whole, Writer
from reconcile.mirror.protocol import Found, Moved, next_number, successor
from reconcile.mirror.snapshot.chain import Stamp, Written, new_base, next_delta
from reconcile.mirror.snapshot.encoding import SECOND
from reconcile.mirror.snapshot.gc import OLDEST, SWEEP, concerns, decode_notice, named_anew
from reconcile.mirror.snapshot.repack import NEVER
from reconcile.mirror.store.port import Store
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.fair_share import MAX_FILES, Bounds

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


ROUNDS = 3
"""How often one pass begins again where a late write of its own writer came in between."""

_TRUSTED = 3600.0
"""Seconds for which a pass relies on what an earlier one has stored but not committed."""


class Workspace(Struct, frozen=True):
    """What is mirrored, by whom, and where the mirror keeps its own notes.

    `limit` is the most that its entries may weigh, see `tree.walk.weight`.
    """

    root: Path
    excludes: Excludes
    state: StateDirectory
    writer: Writer
    limit: int = MAX_FILES


class Unchanged(Struct, frozen=True):
    """The snapshot is what the workspace is; nothing was asked of the store."""

    survey: Survey


class Done(Struct, frozen=True):
    """A pass that compared everything.

    Attributes:
        survey: What was seen.
        captured: What was made of it.
        generation: The last one that is committed.
        committed: Whether this pass did that.
        sent: Bytes of packs and blobs that were stored.
        repacked: How many packs were packed anew.
        unkept: Why what was seen could not be kept in the state directory, where the next process
            would read everything again.
        unpacked: Why packs that are worth it could not be packed anew, which costs requests alone.
    """

    survey: Survey
    captured: Captured
    generation: Generation
    committed: bool
    sent: int
    repacked: int = 0
    unkept: str = ""
    unpacked: str = ""


Outcome: TypeAlias = Unchanged | Done


class Syncer:
    """The only one who commits this workspace in this process; for one thread at a time."""

    def __init__(
        self, workspace: Workspace, store: Callable[[], Store], lanes: Lanes, clock: Clock
    ) -> None:
        """Begin; `store` is called when something is to be read or written for the first time."""
        self._workspace = workspace
        self._store = store
        self._lanes = lanes
        self._clock = clock
        self._index: Index | None = load_index(workspace.state)
        self._position: Position | None = None
        self._sure = False
        self._uploads: Uploads | None = None
        self._since = Since(clock)
        self._attempted = 0

    def look(self, effort: Effort) -> tuple[Survey, bool]:
        """Walk the workspace; tell whether it differs from what was committed last."""
        workspace = self._workspace
        bounds = Bounds(workspace.limit, self._known)
        seen = survey(workspace.root, workspace.excludes, bounds, effort.limit)
        return seen, self._index is None or not self._index.same(seen.seen)

    def _known(self) -> Collection[str]:
        """Return the paths that the last snapshot has, or at the start those it was made of."""
        if self._position is not None:
            return self._position.tree.entries
        return frozenset(self._index.paths()) if self._index else ()

    def check(self) -> Found:
        """Read HEAD, and see that this process may commit; raises as `read_own_head`."""
        position = self._stand()
        return position.found

    def run(self, effort: Effort) -> Outcome:
        """Make one pass.

        Raises:
            OverError: The limit was reached, and the effort is not final.
            FencedError: Another pod has the workspace; nothing was or will be written.
            StoreError: Something could not be stored; the next pass goes on from there.
            DamagedError: What the workspace stands upon cannot be read.
            WorkspaceError: The workspace cannot be read.
        """
        if self._index is None:
            self._stand()
        seen, differs = self.look(effort)
        if not differs:
            return Unchanged(seen)
        for _ in range(ROUNDS):
            done = self._capture_and_commit(seen, effort)
            if done is not None:
                return done
        raise WorkspaceError(
            f"another process of this pod committed {ROUNDS} times during one pass: let only one "
            "`reconcile-mirror sync` run"
        )

    def _capture_and_commit(self, seen: Survey, effort: Effort) -> Done | None:
        position = self._stand()
        self._forget_old_uploads()
        uploads = self._uploads_for(position)
        before = uploads.sent
        index = self._index
        if index is not None and index.generation != last_manifest(position.found.head.generation):
            index = None
        capture = Capture(self._workspace.root, position.tree, index, uploads)
        captured = capture.run(seen, effort)
        lacks: Completeness = Whole()
        if effort.final and captured.built.missing.files:
            lacks = captured.built.missing
        old = position.found.head.generation
        landing: _Landing | None = _Landing(old, Tidied(position.tree))
        if _differs(position, captured, lacks):
            landing = self._commit(position, captured, lacks, effort)
        if landing is None:
            return None
        tidied = landing.tidied
        return Done(
            seen,
            captured,
            landing.generation,
            committed=landing.generation != old,
            sent=uploads.sent - before + tidied.sent,
            repacked=tidied.packs,
            unkept=self._remember(captured, landing.generation),
            unpacked=tidied.problem,
        )

    def _stand(self) -> Position:
        """Return what is committed; HEAD is read where that is not known for sure."""
        if self._position is not None and self._sure:
            return self._position
        found = read_own_head(self._store(), self._workspace.writer)
        position = self._position
        if position is None or position.found.head.generation != found.head.generation:
            tree = read_tree(self._store(), self._workspace.state, found.head.generation)
            self._uploads = None
        else:
            tree = position.tree
        self._position, self._sure = Position(found, tree), True
        return self._position

    def _uploads_for(self, position: Position) -> Uploads:
        if self._uploads is None:
            self._since = Since(self._clock)
            self._uploads = Uploads(self._store, self._lanes, position.tree)
        self._lanes.forget_errors()
        return self._uploads

    def _forget_old_uploads(self) -> None:
        """What was stored long ago but never committed may be collected as garbage by now."""
        if self._since.seconds() > _TRUSTED:
            self._uploads = None

    def _heed_notices(self, before: Tree, after: Tree) -> None:
        """Commit nothing that garbage collection is deleting; store it anew instead."""
        now = self._clock.time_ns() / SECOND
        try:
            since = now - self._since.seconds()
            check_notices(self._store(), lambda: named_anew(before, after), since, now)
        except ContestedError:
            self._uploads = None
            raise

    def _commit(
        self, position: Position, captured: Captured, lacks: Completeness, effort: Effort
    ) -> "_Landing | None":
        """Commit; None where a late write came in between, from which to begin again."""
        uploads = self._uploads_for(position)
        written, tidied = self._announce(position, captured.built.tree, lacks, effort)
        self._sure = False
        head = successor(
            position.found.head, written.generation.chain, written.generation.time, lacks
        )
        answer = commit(self._store(), head, position.found)
        if isinstance(answer, Moved):
            return None
        self._sure = True
        self._position = Position(answer.found, written.tree)
        # What is on its way, or what a new base lets go, may not be named by later manifests.
        if captured.cut or uploads.packs.keys() != written.tree.packs.keys() or _is_base(written):
            self._uploads = None
        state = self._workspace.state
        state.keep_manifest(written.ref.digest, written.body)
        state.forget_manifests(written.generation.chain)
        return _Landing(written.generation, tidied)

    def _announce(
        self, position: Position, tree: Tree, lacks: Completeness, effort: Effort
    ) -> tuple[Written, Tidied]:
        """Store the manifest of the next generation, so that only HEAD is missing."""
        written, tidied = self._write(position, tree, lacks, effort)
        self._store().put(written.ref.key, [written.body], written.ref.digest)
        self._attempted = written.generation.number
        try:
            self._heed_notices(position.tree, written.tree)
        except ContestedError:
            if tidied.tree is tree:
                raise
            # What was packed anew may be what is being deleted: the commit needs none of it.
            return self._announce(position, tree, lacks, replace(effort, thrift=NEVER))
        return written, tidied

    def _write(
        self, position: Position, tree: Tree, lacks: Completeness, effort: Effort
    ) -> tuple[Written, Tidied]:
        head = position.found.head
        last = replace(head.generation, number=next_number(head, self._attempted) - 1)
        stamp = Stamp(self._clock.time_ns(), head.writer, lacks)
        try:
            delta = next_delta(last, stamp, position.tree, tree)
            if delta is not None:
                return delta, Tidied(tree)
            tidied = tidy(self._store, tree, effort) if last.chain else Tidied(tree)
            return new_base(last, stamp, tidied.tree), tidied
        except ValueError as error:
            raise WorkspaceError(
                f"this state of the workspace cannot be written down: {error}; what was committed "
                "before stays as it is"
            ) from error

    def _remember(self, captured: Captured, generation: Generation) -> str:
        """Keep what was seen; says why it could not be kept, which undoes no commit."""
        self._index = None  # Two of them at once would be the most memory that a pass takes.
        self._index = index_of(last_manifest(generation), captured.seen, captured.built.unsettled)
        try:
            save_index(self._workspace.state, self._index)
        except WorkspaceError as error:
            return str(error)
        return ""


class _Landing(Struct, frozen=True):
    """What a commit has made."""

    generation: Generation
    tidied: Tidied


def _is_base(written: Written) -> bool:
    return len(written.generation.chain) == 1


def _differs(position: Position, captured: Captured, lacks: Missing | Whole) -> bool:
    """Tell whether a new generation says anything new."""
    if lacks != position.found.head.generation.completeness:
        return True
    before, after = position.tree.entries, captured.built.tree.entries
    if len(before) != len(after):
        return True
    return any(after.get(path) is not entry for path, entry in before.items())
