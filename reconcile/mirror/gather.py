"""Reads what may have changed in a workspace and hands its bytes to the uploads."""

import hashlib
from dataclasses import dataclass, field

from reconcile.mirror.limit import Limit
from reconcile.mirror.snapshot.keys import CHUNK, LARGE
from reconcile.mirror.tree.directories import Directories
from reconcile.mirror.tree.reading import (
    Changed,
    ChangedError,
    Content,
    Unreadable,
    UnreadableError,
    read_chunks,
    read_file,
    read_link,
)
from reconcile.mirror.tree.walk import Seen
from reconcile.mirror.uploads import Uploads


@dataclass(slots=True)
class Gathered:
    """What was read, by path; what is missing here keeps the version that it had.

    `restless` changed while they were read, `unreadable` could not be; `size` is what was read.
    """

    blobs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    restless: int = 0
    unreadable: int = 0
    size: int = 0


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

    def _take_small(self, seen: Seen) -> None:
        match read_file(self._directories, seen):
            case Content(data):
                digest = hashlib.sha256(data).hexdigest()
                self._uploads.add(digest, data, self._limit)
                self.found.blobs[seen.path] = (digest,)
                self.found.size += len(data)
            case Changed():
                self.found.restless += 1
            case Unreadable():
                self.found.unreadable += 1

    def _take_large(self, seen: Seen) -> None:
        digests = []
        try:
            for data in read_chunks(self._directories, seen, CHUNK):
                self._limit.check()
                digest = hashlib.sha256(data).hexdigest()
                self._uploads.add_alone(digest, data, self._limit)
                digests.append(digest)
                self.found.size += len(data)
        except ChangedError:
            self.found.restless += 1
        except UnreadableError:
            self.found.unreadable += 1
        else:
            self.found.blobs[seen.path] = tuple(digests)
