"""The log: how many files each generation has, and what changed since the previous one.

Also selects the entries of a tree at a path and below it, for `ls`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.errors import DamagedError, SettingsError
from reconcile.mirror.history.generations import GenerationIndex, read_object
from reconcile.mirror.model import (
    Completeness,
    Entry,
    File,
    Generation,
    HardLink,
    SnapshotTree,
    Writer,
)
from reconcile.mirror.snapshot.chain import read_manifest
from reconcile.mirror.snapshot.encoding import encode_text
from reconcile.mirror.snapshot.manifest import SnapshotManifest
from reconcile.mirror.store.port import Store


def select_entries(tree: SnapshotTree, path: str) -> list[Entry]:
    """Return the entry at a path and those below it; all entries for an empty path.

    Raises:
        SettingsError: There is nothing at this path.
    """
    wanted = "/".join(part for part in path.split("/") if part not in {"", "."})
    if not wanted:
        return list(tree.entries.values())
    if wanted not in tree.entries:
        raise SettingsError(f"there is no {encode_text(wanted)!r} in this generation")
    return [
        entry
        for name, entry in tree.entries.items()
        if name == wanted or name.startswith(f"{wanted}/")
    ]


_UNREACHABLE_REASON: Final = (
    "not reachable from HEAD because of a damaged manifest; select it with --at and its number"
)


class ChangeSummary(Struct, frozen=True):
    """How a generation differs from the previous existing one; `size` is bytes of changed files."""

    files: int
    size: int
    deleted: int


class LogEntry(Struct, frozen=True):
    """One generation as `log` shows it: its metadata, its files and bytes, and what changed."""

    number: int
    time: int
    completeness: Completeness
    writer: Writer
    files: int
    size: int
    change: ChangeSummary


class UnreadableGeneration(Struct, frozen=True):
    """A generation that cannot be read, and why."""

    number: int
    time: int
    reason: str


class GenerationLog:
    """Reads generations oldest first; those of one chain share the entries that were read.

    `has_damage` is true as soon as one could not be read.
    """

    def __init__(self, store: Store, index: GenerationIndex) -> None:
        self._store = store
        self._index = index
        self._chain: tuple[str, ...] = ()
        self._entries: dict[str, Entry] = {}
        self.has_damage = bool(index.unreadable or index.unreachable())

    def read_entries(self) -> Iterator[LogEntry | UnreadableGeneration]:
        """Yield all committed generations, the oldest first; StoreError if the store fails."""
        for number, generation in reversed(self._index.unreachable().items()):
            yield UnreadableGeneration(number, generation.time, _UNREACHABLE_REASON)
        for generation in reversed(self._index.generations().values()):
            try:
                yield self._build_entry(generation)
            except DamagedError as error:
                self._chain, self.has_damage = (), True
                yield UnreadableGeneration(generation.number, generation.time, str(error))

    def _build_entry(self, generation: Generation) -> LogEntry:
        before = dict(self._entries)
        manifest = self._advance(generation)
        files = [each for each in self._entries.values() if isinstance(each, File | HardLink)]
        size = sum(each.size for each in files if isinstance(each, File))
        return LogEntry(
            generation.number,
            generation.time,
            generation.completeness,
            manifest.header.writer,
            len(files),
            size,
            _summarize_changes(before, self._entries),
        )

    def _advance(self, generation: Generation) -> SnapshotManifest:
        """Replace the current entries by those of a generation; return its last manifest."""
        chain = tuple(ref.key for ref in generation.chain)
        applied = len(self._chain)
        is_continued = applied and chain[:applied] == self._chain
        pending = generation.chain[applied:] if is_continued else generation.chain
        entries = dict(self._entries) if is_continued else {}
        manifest: SnapshotManifest | None = None
        for ref in pending:
            manifest = read_manifest(ref, read_object(self._store, ref.key, ref.size))
            for path in manifest.removed:
                entries.pop(path, None)
            entries.update(manifest.entries)
        assert manifest is not None
        self._chain, self._entries = chain, entries
        return manifest


def _summarize_changes(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> ChangeSummary:
    changed = [entry for path, entry in after.items() if not _is_same(before.get(path), entry)]
    files = [entry for entry in changed if isinstance(entry, File)]
    size = sum(file.size for file in files if _blobs(before.get(file.path)) != file.blobs)
    return ChangeSummary(len(files), size, sum(path not in after for path in before))


def _is_same(one: Entry | None, other: Entry) -> bool:
    """Compare two entries, ignoring where the store keeps their bytes."""
    if isinstance(one, File) and isinstance(other, File):
        return replace(one, location=other.location) == other
    return one == other


def _blobs(entry: Entry | None) -> tuple[str, ...] | None:
    return entry.blobs if isinstance(entry, File) else None
