"""Keeps the snapshot equal to the workspace, one pass at a time.

Looks, before a commit, whether garbage collection deletes what the commit would name.
"""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.backup.archiver import (
    Archiver,
    ArchiveResult,
    PassOptions,
    Scan,
    scan_workspace,
)
from reconcile.mirror.backup.repack import RepackResult, repack
from reconcile.mirror.backup.uploader import Uploader
from reconcile.mirror.clock import Clock, Stopwatch
from reconcile.mirror.concurrency import WorkerPool
from reconcile.mirror.errors import MissingObjectError, StoreAwayError, WorkspaceError
from reconcile.mirror.head import (
    CommittedState,
    commit,
    last_manifest_digest,
    read_cached_tree,
    read_own_head,
)
from reconcile.mirror.index import Index, build_index, load_index, save_index
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Complete, Completeness, Generation, Partial, SnapshotTree, Writer
from reconcile.mirror.protocol import (
    HeadVersion,
    Superseded,
    build_successor_head,
    next_generation_number,
)
from reconcile.mirror.snapshot.chain import (
    CommitInfo,
    EncodedManifest,
    new_base,
    new_delta_if_small,
)
from reconcile.mirror.snapshot.encoding import SECOND
from reconcile.mirror.snapshot.gc import (
    DELETE_INTENTS,
    MAX_UNCOMMITTED_AGE,
    decode_delete_intent,
    iter_new_keys,
    may_delete_uploads,
)
from reconcile.mirror.snapshot.repack import NEVER_REPACK
from reconcile.mirror.store.port import Store
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.fair_share import MAX_FILES, WalkLimits

NewKeys = Callable[[], Iterable[str]]


class BlobBeingDeletedError(StoreAwayError):
    """What was stored may be gone again: it must be stored anew, some time later."""


def check_pending_deletes(store: Store, new_keys: NewKeys, stored_since: float, now: float) -> None:
    """See that nothing that is about to be committed is being deleted.

    To be called when the manifest is stored, and before HEAD is written.

    Args:
        store: Where notices are.
        new_keys: The keys that the new generation names and the one before does not.
        stored_since: From when on they were stored, in seconds since 1970.
        now: What time it is.

    Raises:
        ContestedError: One of them is, or all this was stored too long ago to be sure.
        StoreError: Notices could not be read.
        DamagedError: One is malformed.
        UnknownFormatError: Another version wrote one.
    """
    if now - stored_since > MAX_UNCOMMITTED_AGE:
        raise BlobBeingDeletedError(
            "what was stored is days old and was never committed: it is sent anew"
        )
    for listed in list(store.list(DELETE_INTENTS)):
        if not may_delete_uploads(listed.modified, stored_since):
            continue
        try:
            deleted = set(decode_delete_intent(store.get(listed.key).body).keys)
        except MissingObjectError:
            continue
        contested = next((key for key in new_keys() if key in deleted), None)
        if contested is not None:
            raise BlobBeingDeletedError(
                f"{contested} is being deleted by garbage collection: it is stored anew, and "
                "committed once that is over"
            )


MAX_PASS_ATTEMPTS = 3
"""How often one pass begins again where a late write of its own writer came in between."""

_UPLOADER_MAX_AGE = 3600.0
"""Seconds for which a pass relies on what an earlier one has stored but not committed."""


class Workspace(Struct, frozen=True):
    """What is mirrored, by whom, and where the mirror keeps its own notes.

    `weight_limit` is the most that its entries may weigh, see `tree.walk.weight`.
    """

    root: Path
    excludes: Excludes
    state: StateDirectory
    writer: Writer
    weight_limit: int = MAX_FILES


class NoChanges(Struct, frozen=True):
    """The snapshot is what the workspace is; nothing was asked of the store."""

    scan: Scan


class PassResult(Struct, frozen=True):
    """A pass that compared everything.

    Attributes:
        scan: What was seen.
        archive: What was made of it.
        generation: The last one that is committed.
        is_committed: Whether this pass did that.
        sent_bytes: Bytes of packs and blobs that were stored.
        repacked_packs: How many packs were packed anew.
        index_error: Why what was seen could not be kept in the state directory, where the next process
            would read everything again.
        repack_error: Why packs that are worth it could not be packed anew, which costs requests alone.
    """

    scan: Scan
    archive: ArchiveResult
    generation: Generation
    is_committed: bool
    sent_bytes: int
    repacked_packs: int = 0
    index_error: str = ""
    repack_error: str = ""


PassOutcome: TypeAlias = NoChanges | PassResult


class Syncer:
    """The only one who commits this workspace in this process; for one thread at a time."""

    def __init__(
        self, workspace: Workspace, store: Callable[[], Store], pool: WorkerPool, clock: Clock
    ) -> None:
        """Begin; `store` is called when something is to be read or written for the first time."""
        self._workspace = workspace
        self._store = store
        self._pool = pool
        self._clock = clock
        self._index: Index | None = load_index(workspace.state)
        self._committed_state: CommittedState | None = None
        self._is_head_current = False
        self._uploader: Uploader | None = None
        self._uploader_age = Stopwatch(clock)
        self._last_attempted_number = 0

    def scan(self, options: PassOptions) -> tuple[Scan, bool]:
        """Walk the workspace; tell whether it differs from what was committed last."""
        workspace = self._workspace
        bounds = WalkLimits(workspace.weight_limit, self._known_paths)
        seen = scan_workspace(workspace.root, workspace.excludes, bounds, options.deadline)
        return seen, self._index is None or not self._index.matches(seen.file_stats)

    def _known_paths(self) -> Collection[str]:
        """Return the paths that the last snapshot has, or at the start those it was made of."""
        if self._committed_state is not None:
            return self._committed_state.tree.entries
        return frozenset(self._index.paths()) if self._index else ()

    def check_head(self) -> HeadVersion:
        """Read HEAD, and see that this process may commit; raises as `read_own_head`."""
        position = self._load_committed_state()
        return position.version

    def run(self, options: PassOptions) -> PassOutcome:
        """Make one pass.

        Raises:
            OverError: The limit was reached, and the effort is not final.
            FencedError: Another pod has the workspace; nothing was or will be written.
            StoreError: Something could not be stored; the next pass goes on from there.
            DamagedError: What the workspace stands upon cannot be read.
            WorkspaceError: The workspace cannot be read.
        """
        if self._index is None:
            self._load_committed_state()
        seen, differs = self.scan(options)
        if not differs:
            return NoChanges(seen)
        for _ in range(MAX_PASS_ATTEMPTS):
            done = self._archive_and_commit(seen, options)
            if done is not None:
                return done
        raise WorkspaceError(
            f"another process of this pod committed {MAX_PASS_ATTEMPTS} times during one pass: let only one "
            "`reconcile-mirror sync` run"
        )

    def _archive_and_commit(self, scan: Scan, options: PassOptions) -> PassResult | None:
        position = self._load_committed_state()
        self._discard_old_uploader()
        uploads = self._ensure_uploader(position)
        before = uploads.sent_bytes
        index = self._index
        if index is not None and index.manifest_digest != last_manifest_digest(
            position.version.head.generation
        ):
            index = None
        capture = Archiver(self._workspace.root, position.tree, index, uploads)
        captured = capture.run(scan, options)
        lacks: Completeness = Complete()
        if options.is_final and captured.tree_result.missing.files:
            lacks = captured.tree_result.missing
        old = position.version.head.generation
        landing: _CommitResult | None = _CommitResult(old, RepackResult(position.tree))
        if _has_changes(position, captured, lacks):
            landing = self._commit(position, captured, lacks, options)
        if landing is None:
            return None
        tidied = landing.repack_result
        return PassResult(
            scan,
            captured,
            landing.generation,
            is_committed=landing.generation != old,
            sent_bytes=uploads.sent_bytes - before + tidied.sent_bytes,
            repacked_packs=tidied.removed_packs,
            index_error=self._save_index(captured, landing.generation),
            repack_error=tidied.problem,
        )

    def _load_committed_state(self) -> CommittedState:
        """Return what is committed; HEAD is read where that is not known for sure."""
        if self._committed_state is not None and self._is_head_current:
            return self._committed_state
        found = read_own_head(self._store(), self._workspace.writer)
        position = self._committed_state
        if position is None or position.version.head.generation != found.head.generation:
            tree = read_cached_tree(self._store(), self._workspace.state, found.head.generation)
            self._uploader = None
        else:
            tree = position.tree
        self._committed_state, self._is_head_current = CommittedState(found, tree), True
        return self._committed_state

    def _ensure_uploader(self, committed_state: CommittedState) -> Uploader:
        if self._uploader is None:
            self._uploader_age = Stopwatch(self._clock)
            self._uploader = Uploader(self._store, self._pool, committed_state.tree)
        self._pool.clear_error()
        return self._uploader

    def _discard_old_uploader(self) -> None:
        """What was stored long ago but never committed may be collected as garbage by now."""
        if self._uploader_age.elapsed() > _UPLOADER_MAX_AGE:
            self._uploader = None

    def _check_pending_deletes(self, before: SnapshotTree, after: SnapshotTree) -> None:
        """Commit nothing that garbage collection is deleting; store it anew instead."""
        now = self._clock.time_ns() / SECOND
        try:
            since = now - self._uploader_age.elapsed()
            check_pending_deletes(self._store(), lambda: iter_new_keys(before, after), since, now)
        except BlobBeingDeletedError:
            self._uploader = None
            raise

    def _commit(
        self,
        committed_state: CommittedState,
        archive: ArchiveResult,
        completeness: Completeness,
        options: PassOptions,
    ) -> "_CommitResult | None":
        """Commit; None where a late write came in between, from which to begin again."""
        uploads = self._ensure_uploader(committed_state)
        written, tidied = self._store_manifest(
            committed_state, archive.tree_result.tree, completeness, options
        )
        self._is_head_current = False
        head = build_successor_head(
            committed_state.version.head,
            written.generation.chain,
            written.generation.time,
            completeness,
        )
        answer = commit(self._store(), head, committed_state.version)
        if isinstance(answer, Superseded):
            return None
        self._is_head_current = True
        self._committed_state = CommittedState(answer.version, written.tree)
        # What is on its way, or what a new base lets go, may not be named by later manifests.
        if (
            archive.is_truncated
            or uploads.packs.keys() != written.tree.packs.keys()
            or _is_base(written)
        ):
            self._uploader = None
        state = self._workspace.state
        state.cache_manifest(written.ref.digest, written.body)
        state.prune_manifests(written.generation.chain)
        return _CommitResult(written.generation, tidied)

    def _store_manifest(
        self,
        committed_state: CommittedState,
        tree: SnapshotTree,
        completeness: Completeness,
        options: PassOptions,
    ) -> tuple[EncodedManifest, RepackResult]:
        """Store the manifest of the next generation, so that only HEAD is missing."""
        written, tidied = self._build_manifest(committed_state, tree, completeness, options)
        self._store().put(written.ref.key, [written.body], written.ref.digest)
        self._last_attempted_number = written.generation.number
        try:
            self._check_pending_deletes(committed_state.tree, written.tree)
        except BlobBeingDeletedError:
            if tidied.tree is tree:
                raise
            # What was packed anew may be what is being deleted: the commit needs none of it.
            return self._store_manifest(
                committed_state, tree, completeness, replace(options, repack_policy=NEVER_REPACK)
            )
        return written, tidied

    def _build_manifest(
        self,
        committed_state: CommittedState,
        tree: SnapshotTree,
        completeness: Completeness,
        options: PassOptions,
    ) -> tuple[EncodedManifest, RepackResult]:
        head = committed_state.version.head
        last = replace(
            head.generation, number=next_generation_number(head, self._last_attempted_number) - 1
        )
        stamp = CommitInfo(self._clock.time_ns(), head.writer, completeness)
        try:
            delta = new_delta_if_small(last, stamp, committed_state.tree, tree)
            if delta is not None:
                return delta, RepackResult(tree)
            tidied = repack(self._store, tree, options) if last.chain else RepackResult(tree)
            return new_base(last, stamp, tidied.tree), tidied
        except ValueError as error:
            raise WorkspaceError(
                f"this state of the workspace cannot be written down: {error}; what was committed "
                "before stays as it is"
            ) from error

    def _save_index(self, archive: ArchiveResult, generation: Generation) -> str:
        """Keep what was seen; says why it could not be kept, which undoes no commit."""
        self._index = None  # Two of them at once would be the most memory that a pass takes.
        self._index = build_index(
            last_manifest_digest(generation),
            archive.file_stats,
            archive.tree_result.stale_positions,
        )
        try:
            save_index(self._workspace.state, self._index)
        except WorkspaceError as error:
            return str(error)
        return ""


class _CommitResult(Struct, frozen=True):
    """What a commit has made."""

    generation: Generation
    repack_result: RepackResult


def _is_base(written: EncodedManifest) -> bool:
    return len(written.generation.chain) == 1


def _has_changes(
    committed_state: CommittedState, archive: ArchiveResult, completeness: Partial | Complete
) -> bool:
    """Tell whether a new generation says anything new."""
    if completeness != committed_state.version.head.generation.completeness:
        return True
    before, after = committed_state.tree.entries, archive.tree_result.tree.entries
    if len(before) != len(after):
        return True
    return any(after.get(path) is not entry for path, entry in before.items())
