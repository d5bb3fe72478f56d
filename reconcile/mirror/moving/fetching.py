"""Brings the objects of an old prefix into a directory, as files."""

import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from reconcile.mirror.errors import MissingObjectError, WorkspaceError
from reconcile.mirror.import_export.platform_layout import Layout, Placed, lay_out
from reconcile.mirror.store.port import Store

_CHUNK: Final = 8 << 20
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Fetched(Struct, frozen=True):
    """What was brought; `vanished` are keys that were listed and are gone."""

    layout: Layout
    vanished: tuple[str, ...]


def fetch(source: Store, root: Path) -> Fetched:
    """Write one file for each object below the empty directory `root`.

    Files get the time at which the object was written: the store knows no other.

    Raises:
        StoreError: Something could not be read.
        WorkspaceError: The directory does not take it.
    """
    layout = lay_out(source.list(""))
    try:
        for path in layout.directories:
            (root / path).mkdir(parents=True, exist_ok=True)
        vanished = [
            placed.listed.key for placed in layout.files if not _write(source, root, placed)
        ]
    except OSError as error:
        raise WorkspaceError(f"{root} cannot be written: {error.strerror}") from None
    return Fetched(layout, tuple(vanished))


def _write(source: Store, root: Path, placed: Placed) -> bool:
    """Write one file; False if its object is gone."""
    target, listed = root / placed.path, placed.listed
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, _NEW, 0o644)
    try:
        for offset in range(0, listed.size, _CHUNK):
            size = min(_CHUNK, listed.size - offset)
            _write_all(descriptor, source.get_range(listed.key, offset, size))
        os.utime(descriptor, (listed.modified, listed.modified))
    except MissingObjectError:
        target.unlink()
        return False
    finally:
        os.close(descriptor)
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
