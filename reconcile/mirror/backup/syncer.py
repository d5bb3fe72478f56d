"""Keeps the snapshot equal to the workspace, one pass at a time.

A pass scans the workspace, stores what changed, and commits it. Before a commit it checks whether
garbage collection is deleting an object that the commit would name.
"""

from functools import partial
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.backup.archiver import Archiver, ArchiveResult, PassOptions
from reconcile.mirror.backup.recheck import (
    Rechecker,
    find_silent_changes,
    select_for_one_pass,
    select_unchanged,
)
from reconcile.mirror.backup.repack import RepackResult, repack
from reconcile.mirror.backup.sync_state import CommitCandidate, PendingUploads, SyncState
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
from reconcile.mirror.index import build_index, load_index, save_index
from reconcile.mirror.local_state import StateDirectory, read_volume_id
from reconcile.mirror.model import Complete, Generation, SnapshotTree, Writer
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
    MAX_RECORD,
    MAX_UNCOMMITTED_AGE,
    DeleteIntent,
    decode_delete_intent,
    iter_new_keys,
    may_delete_uploads,
)
from reconcile.mirror.snapshot.repack import NEVER_REPACK
from reconcile.mirror.store.port import Store
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.fair_share import MAX_FILES, WalkLimits
from reconcile.mirror.workspace.root import WorkspaceRoot
from reconcile.mirror.workspace.survey import Scan, scan_workspace


class BlobBeingDeletedError(StoreAwayError):
    """An object that was stored may be gone again: it must be stored again, some time later."""


def check_pending_deletes(
    store: Store, before: SnapshotTree, after: SnapshotTree, stored_since: float, now: float
) -> None:
    """Check that no object that is about to be committed is being deleted.

    Must be called when the manifest is stored, and before HEAD is written.

    Args:
        store: Where garbage collection announces what it deletes.
        before: The committed tree.
        after: The tree that is about to be committed; only objects that it adds are checked.
        stored_since: When the first of these was stored, in seconds since 1970.
        now: The current time, in seconds since 1970.

    Raises:
        BlobBeingDeletedError: One of them is being deleted, or they are too old to be sure.
        StoreError: An announcement could not be read.
        DamagedError: An announcement is malformed.
        UnknownFormatError: Another version wrote one.
    """
    if now - stored_since > MAX_UNCOMMITTED_AGE:
        raise BlobBeingDeletedError(
            "objects were stored days ago and never committed: they are sent again"
        )
    for listed in list(store.list(DELETE_INTENTS)):
        if not may_delete_uploads(listed.modified, stored_since):
            continue
        try:
            deleted = set(store.retry(partial(_read_intent, store, listed.key)).keys)
        except MissingObjectError:
            continue
        contested = next((key for key in iter_new_keys(before, after) if key in deleted), None)
        if contested is not None:
            raise BlobBeingDeletedError(
                f"{contested} is being deleted by garbage collection: it is stored again, and "
                "committed once that is over"
            )


def _read_intent(store: Store, key: str) -> DeleteIntent:
    return decode_delete_intent(store.get(key, MAX_RECORD).body)


MAX_PASS_ATTEMPTS = 3
"""How often a pass starts again after a late write of its own writer."""

_UPLOADS_MAX_AGE = 3600.0
"""Seconds for which passes rely on uploads of earlier passes that are not committed."""


class Workspace(Struct, frozen=True):
    """A workspace that is mirrored.

    Attributes:
        root: Its directory.
        excludes: What is left out.
        state: The mirror's state directory for it.
        writer: Who commits.
        weight_limit: The limit for the weight of all entries, see `walk.weight`.
    """

    root: Path
    excludes: Excludes
    state: StateDirectory
    writer: Writer
    weight_limit: int = MAX_FILES


class ComparedScan(Struct, frozen=True):
    """A scan, and whether it differs from what was committed last."""

    scan: Scan
    is_changed: bool


class NoChanges(Struct, frozen=True):
    """The snapshot equals the workspace; the store was not needed."""

    scan: Scan


class PassResult(Struct, frozen=True):
    """A pass that found changes.

    Attributes:
        scan: The workspace as it was scanned.
        archive: What was read and stored of it.
        generation: The last committed generation.
        is_committed: Whether this pass committed it.
        sent_bytes: Bytes of packs and blobs that were stored.
        repacked_packs: How many packs were repacked.
        index_error: Why the index could not be saved, empty if it was; without it the next process
            reads all files again.
        repack_error: Why packs could not be repacked, empty if they were; that costs requests only.
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


class _StoredManifest(Struct, frozen=True):
    """The manifest of the next generation, and what was repacked for it."""

    manifest: EncodedManifest
    repack_result: RepackResult


class _CommitResult(Struct, frozen=True):
    """The last committed generation, and what was repacked for it."""

    generation: Generation
    repack_result: RepackResult


class Syncer:
    """Scans, stores and commits one workspace.

    A process has one syncer for a workspace, and calls it from one thread at a time.
    """

    def __init__(self, workspace: Workspace, store: Store, pool: WorkerPool, clock: Clock) -> None:
        self._workspace = workspace
        self._store = store
        self._pool = pool
        self._clock = clock
        volume = read_volume_id(workspace.root)
        self._root = WorkspaceRoot(
            workspace.root, workspace.excludes, (volume.device, volume.inode)
        )
        self._rechecker = Rechecker(clock)
        self._state = SyncState(load_index(workspace.state))

    def check_head(self) -> HeadVersion:
        """Read HEAD, and check that this process may commit; raises as `read_own_head`."""
        return self._load_committed().version

    def forget(self) -> None:
        """Forget what is known of the snapshot, after a defect: the next pass reads it again."""
        number = self._state.last_attempted_number
        self._state = SyncState(load_index(self._workspace.state), last_attempted_number=number)

    def run(self, options: PassOptions) -> PassOutcome:
        """Make one pass: scan the workspace, and store and commit what changed.

        Raises:
            DeadlineExceededError: The deadline came, and the pass is not final.
            FencedError: Another pod has the workspace; nothing was or will be written.
            StoreError: An object could not be stored; the next pass continues from there.
            DamagedError: The committed generation cannot be read.
            WorkspaceError: The workspace cannot be read.
        """
        return self.store_changes(self.scan(options), options)

    def scan(self, options: PassOptions) -> ComparedScan:
        """Walk the workspace, and compare it with what was committed last; raises as `run`.

        Where no index of an earlier pass is known, the committed tree is read first: its paths have
        priority where not all entries fit.
        """
        if self._state.index is None:
            self._load_committed()
        workspace = self._workspace
        limits = WalkLimits(workspace.weight_limit, self._state.previous_paths)
        with self._root.open() as directories:
            scan = scan_workspace(directories.root, workspace.excludes, limits, options.deadline)
            self._recheck(directories, scan, options)
        return ComparedScan(scan, not self._state.matches(scan))

    def _recheck(self, directories: DirectoryHandles, scan: Scan, options: PassOptions) -> None:
        """Forget the stats of files that have changed although their times have not."""
        stats, index = scan.file_stats, self._state.index
        suspects = self._rechecker.select(stats, everything=options.is_last)
        if self._state.committed is None:
            suspects = select_for_one_pass(suspects)
        if index is None or not suspects:
            return
        suspects = select_unchanged(index, suspects)
        if suspects:
            entries = self._load_committed().tree.entries
            changed = find_silent_changes(directories, suspects, entries, options.deadline)
            if changed:
                self._state = replace(self._state, index=index.without(changed))

    def store_changes(self, compared: ComparedScan, options: PassOptions) -> PassOutcome:
        """Store and commit what a scan found; raises as `run`.

        The scan must be the last one of this syncer, and must have been made right before: files
        that changed since then are counted as changing, and new ones are missing.
        """
        if not compared.is_changed:
            return NoChanges(compared.scan)
        for _ in range(MAX_PASS_ATTEMPTS):
            result = self._try_store(compared.scan, options)
            if result is not None:
                return result
        raise WorkspaceError(
            f"another process of this pod committed {MAX_PASS_ATTEMPTS} times during one pass: "
            "let only one `reconcile-mirror sync` run"
        )

    def _try_store(self, scan: Scan, options: PassOptions) -> PassResult | None:
        """Store and commit; None where a late write of this writer was found in HEAD."""
        committed = self._load_committed()
        uploads = self._open_uploads(committed.tree)
        sent_before = uploads.uploader.sent_bytes
        archive = self._archive(scan, committed, uploads.uploader, options)
        completeness = archive.missing if archive.missing.files else Complete()
        result = self._commit_changes(
            CommitCandidate(committed, archive, completeness, uploads), options
        )
        if result is None:
            return None
        repacked = result.repack_result
        return PassResult(
            scan,
            archive,
            result.generation,
            is_committed=result.generation != committed.version.head.generation,
            sent_bytes=uploads.uploader.sent_bytes - sent_before + repacked.sent_bytes,
            repacked_packs=repacked.removed_packs,
            index_error=self._save_index(archive, result.generation),
            repack_error=repacked.problem,
        )

    def _load_committed(self) -> CommittedState:
        """Return what is committed; HEAD is read unless it is known for sure."""
        committed = self._state.committed
        if committed is not None and self._state.is_head_known:
            return committed
        version = read_own_head(self._store, self._workspace.writer)
        generation = version.head.generation
        if committed is not None and committed.version.head.generation == generation:
            tree = committed.tree
        else:
            tree = read_cached_tree(self._store, self._workspace.state, generation)
        self._state = self._state.with_head(version, tree)
        return CommittedState(version, tree)

    def _open_uploads(self, tree: SnapshotTree) -> PendingUploads:
        """Return the uploads to continue; old ones may be deleted as garbage by now."""
        uploads = self._state.uploads
        if uploads is None or uploads.age.elapsed() > _UPLOADS_MAX_AGE:
            age = Stopwatch(self._clock)
            uploads = PendingUploads(Uploader(self._store, self._pool, tree), age)
            self._state = replace(self._state, uploads=uploads)
        self._pool.clear_error()
        return uploads

    def _archive(
        self, scan: Scan, committed: CommittedState, uploader: Uploader, options: PassOptions
    ) -> ArchiveResult:
        index = self._state.index_of(committed.version.head.generation)
        archiver = Archiver(self._root, committed.tree, index, uploader)
        return archiver.run(scan, options)

    def _commit_changes(
        self, candidate: CommitCandidate, options: PassOptions
    ) -> _CommitResult | None:
        if candidate.has_changes():
            return self._commit(candidate, options)
        before = candidate.before
        return _CommitResult(before.version.head.generation, RepackResult(before.tree))

    def _commit(self, candidate: CommitCandidate, options: PassOptions) -> _CommitResult | None:
        """Commit; None where a late write of this writer was found in HEAD."""
        before = candidate.before.version
        stored = self._store_manifest(candidate, options)
        manifest = stored.manifest
        generation = manifest.generation
        head = build_successor_head(
            before.head, generation.chain, generation.time, candidate.completeness
        )
        self._state = replace(self._state, is_head_known=False)
        result = commit(self._store, head, before)
        if isinstance(result, Superseded):
            return None
        self._state = self._state.with_commit(
            CommittedState(result.version, manifest.tree), candidate.remaining_uploads(manifest)
        )
        state = self._workspace.state
        state.cache_manifest(manifest.ref.digest, manifest.body)
        state.prune_manifests(generation.chain)
        return _CommitResult(generation, stored.repack_result)

    def _store_manifest(self, candidate: CommitCandidate, options: PassOptions) -> _StoredManifest:
        """Store the manifest of the next generation, so that only HEAD is missing."""
        stored = self._build_manifest(candidate, options)
        manifest = stored.manifest
        self._store.put(manifest.ref.key, [manifest.body], manifest.ref.digest)
        self._state = replace(self._state, last_attempted_number=manifest.generation.number)
        try:
            self._check_pending_deletes(candidate, manifest.tree)
        except BlobBeingDeletedError:
            if stored.repack_result.tree is candidate.tree:
                raise
            # Perhaps a repacked pack is being deleted: the commit does not need it.
            return self._store_manifest(candidate, replace(options, repack_policy=NEVER_REPACK))
        return stored

    def _build_manifest(self, candidate: CommitCandidate, options: PassOptions) -> _StoredManifest:
        head, tree = candidate.before.version.head, candidate.tree
        number = next_generation_number(head, self._state.last_attempted_number) - 1
        last = replace(head.generation, number=number)
        info = CommitInfo(self._clock.time_ns(), head.writer, candidate.completeness)
        try:
            delta = new_delta_if_small(last, info, candidate.before.tree, tree)
            if delta is not None:
                return _StoredManifest(delta, RepackResult(tree))
            result = repack(self._store, tree, options) if last.chain else RepackResult(tree)
            return _StoredManifest(new_base(last, info, result.tree), result)
        except ValueError as error:
            raise WorkspaceError(
                f"this state of the workspace cannot be written down: {error}; what was committed "
                "before stays as it is"
            ) from error

    def _check_pending_deletes(self, candidate: CommitCandidate, after: SnapshotTree) -> None:
        """Check what a commit would name; the next pass stores again what is being deleted."""
        now = self._clock.time_ns() / SECOND
        since = now - candidate.uploads.age.elapsed()
        try:
            check_pending_deletes(self._store, candidate.before.tree, after, since, now)
        except BlobBeingDeletedError:
            self._state = replace(self._state, uploads=None)
            raise

    def _save_index(self, archive: ArchiveResult, generation: Generation) -> str:
        """Save the index; returns why that failed, which undoes no commit."""
        # Two of them at once would be the most memory that a pass needs.
        self._state = replace(self._state, index=None)
        index = build_index(
            last_manifest_digest(generation),
            archive.file_stats,
            archive.stale_positions,
        )
        self._state = replace(self._state, index=index)
        try:
            save_index(self._workspace.state, index)
        except WorkspaceError as error:
            return str(error)
        return ""
