"""What a syncer knows of the snapshot between its steps, and what it is about to commit. Pure."""

from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.backup.archiver import ArchiveResult
from reconcile.mirror.backup.uploader import Uploader
from reconcile.mirror.clock import Stopwatch
from reconcile.mirror.head import CommittedState, last_manifest_digest
from reconcile.mirror.index import Index
from reconcile.mirror.model import Complete, Completeness, Generation, SnapshotTree
from reconcile.mirror.protocol import HeadVersion
from reconcile.mirror.snapshot.chain import EncodedManifest
from reconcile.mirror.workspace.survey import Scan


class PendingUploads(Struct, frozen=True):
    """Uploads that are not committed yet, and a stopwatch that runs since the first of them.

    After some time garbage collection may delete them.
    """

    uploader: Uploader
    age: Stopwatch


class SyncState(Struct, frozen=True):
    """What a syncer knows of the snapshot. Each step replaces it as a whole.

    Attributes:
        index: The workspace as it was when it was last committed; None where that is not known.
        committed: HEAD and its tree, as last read or written; None before the first time.
        is_head_known: Whether HEAD is what `committed` says; not after a write without an answer.
        uploads: What the next pass need not send again; None to begin with the committed tree.
        last_attempted_number: The generation of the last manifest that was stored.
    """

    index: Index | None
    committed: CommittedState | None = None
    is_head_known: bool = False
    uploads: PendingUploads | None = None
    last_attempted_number: int = 0

    def matches(self, scan: Scan) -> bool:
        """Say whether a scan equals what was committed last.

        It does not if something cannot be read, but the last generation says that it is complete.
        """
        if scan.skipped.unreadable and self.committed is not None:
            completeness = self.committed.version.head.generation.completeness
            if isinstance(completeness, Complete):
                return False
        return self.index is not None and self.index.matches(scan.file_stats)

    def previous_paths(self) -> Collection[str]:
        """Return the paths of the last snapshot, at the start those of the index."""
        if self.committed is not None:
            return self.committed.tree.entries
        return frozenset(self.index.paths()) if self.index else ()

    def index_of(self, generation: Generation) -> Index | None:
        """Return the index if it describes this generation."""
        index = self.index
        if index is None or index.manifest_digest != last_manifest_digest(generation):
            return None
        return index

    def with_head(self, version: HeadVersion, tree: SnapshotTree) -> "SyncState":
        """Return the state after HEAD was read; uploads count on if the generation is the same."""
        is_same = (
            self.committed is not None
            and self.committed.version.head.generation == version.head.generation
        )
        return replace(
            self,
            committed=CommittedState(version, tree),
            is_head_known=True,
            uploads=self.uploads if is_same else None,
        )

    def with_commit(self, committed: CommittedState, uploads: PendingUploads | None) -> "SyncState":
        """Return the state after a commit."""
        return replace(self, committed=committed, is_head_known=True, uploads=uploads)


class CommitCandidate(Struct, frozen=True):
    """What a commit would make the next generation."""

    before: CommittedState
    archive: ArchiveResult
    completeness: Completeness
    uploads: PendingUploads

    @property
    def tree(self) -> SnapshotTree:
        """The tree of that generation, before a repack."""
        return self.archive.tree_result.tree

    def has_changes(self) -> bool:
        """Say whether it differs from the committed generation."""
        if self.completeness != self.before.version.head.generation.completeness:
            return True
        before, after = self.before.tree.entries, self.tree.entries
        if len(before) != len(after):
            return True
        return any(after.get(path) is not entry for path, entry in before.items())

    def remaining_uploads(self, manifest: EncodedManifest) -> PendingUploads | None:
        """Return the uploads that manifests after this one may name.

        They may not name what is still in flight, nor packs that a new base has dropped.
        """
        is_base = len(manifest.generation.chain) == 1
        has_other_packs = self.uploads.uploader.packs.keys() != manifest.tree.packs.keys()
        return None if self.archive.is_truncated or has_other_packs or is_base else self.uploads
