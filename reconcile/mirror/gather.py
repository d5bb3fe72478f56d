"""Reads what may have changed in a workspace and hands its bytes to the uploads."""

from msgspec import Struct, field

from reconcile.mirror.backup.uploader import Uploads
from reconcile.mirror.concurrency import Limit
from reconcile.mirror.snapshot.keys import CHUNK, LARGE
from reconcile.mirror.workspace.dirfd import Directories
from reconcile.mirror.workspace.reader import (
    Changed,
    ChangedError,
    Content,
    Unreadable,
    UnreadableError,
    digest_of,
    read_chunks,
    read_file,
    read_link,
)
from reconcile.mirror.workspace.sqlite import Database, read_database
from reconcile.mirror.workspace.walk import Seen


class Gathered(Struct):
    """What was read, by path; what is missing here keeps the version that it had.

    `seen` has what is to be taken for the walk's own: it was looked at again while it was read.
    `restless` changed while they were read, `unreadable` could not be; `size` is what was read.
    """

    blobs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    restless: int = 0
    unreadable: int = 0
    size: int = 0

    def forget(self) -> None:
        """Let go of all but the counts, once the tree is built."""
        self.blobs, self.targets = {}, {}


class Gatherer:
    """Reads one entry after the other; not for several threads at once."""

    def __init__(self, directories: Directories, uploads: Uploads, limit: Limit) -> None:
        self._directories = directories
        self._uploads = uploads
        self._limit = limit
        self.found = Gathered()

    def take_link(self, seen: Seen) -> None:
        """Read a symbolic link."""
        try:
            self.found.targets[seen.path] = read_link(self._directories, seen)
        except ChangedError:
            self.found.restless += 1
        except UnreadableError:
            self.found.unreadable += 1

    def take_file(self, seen: Seen) -> None:
        """Read a file; OverError at the limit, StoreError where an upload has failed."""
        if not seen.size:
            self.found.blobs[seen.path] = ()
        elif seen.size > LARGE:
            self._take_large(seen)
        else:
            self._take_small(seen)

    def take_database(self, database: Database) -> None:
        """Read a database with its log, both or neither; raises as `take_file`."""
        blobs: dict[str, list[str]] = {database.main.path: [], database.log.path: []}
        seen: dict[str, Seen] = {}
        try:
            for piece in read_database(self._directories, database, CHUNK):
                self._limit.check()
                seen[piece.seen.path] = piece.seen
                blobs[piece.seen.path].append(self._send(piece.seen, piece.data))
        except ChangedError:
            self.found.restless += 1
        except UnreadableError:
            self.found.unreadable += 1
        else:
            self.found.seen.update(seen)
            self.found.blobs.update((path, tuple(digests)) for path, digests in blobs.items())

    def _send(self, seen: Seen, data: bytes) -> str:
        digest = digest_of(data)
        if seen.size > LARGE:
            self._uploads.add_alone(digest, data, self._limit)
        else:
            self._uploads.add(digest, data, self._limit)
        self.found.size += len(data)
        return digest

    def _take_small(self, seen: Seen) -> None:
        match read_file(self._directories, seen):
            case Content(data):
                self.found.blobs[seen.path] = (self._send(seen, data),)
            case Changed():
                self.found.restless += 1
            case Unreadable():
                self.found.unreadable += 1

    def _take_large(self, seen: Seen) -> None:
        digests = []
        try:
            for data in read_chunks(self._directories, seen, CHUNK):
                self._limit.check()
                digests.append(self._send(seen, data))
        except ChangedError:
            self.found.restless += 1
        except UnreadableError:
            self.found.unreadable += 1
        else:
            self.found.blobs[seen.path] = tuple(digests)
