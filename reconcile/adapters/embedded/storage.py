"""The state file: all objects as one JSON list, shared by several processes.

Readers need no lock, since a new state replaces the old one in one step. Writers hold a lock on a
file beside it from before they read until what they wrote is on the disk.
"""

import contextlib
import fcntl
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from reconcile.core.errors import ClusterError

_Signature: TypeAlias = tuple[int, int, int]
_NO_FILE: _Signature = (0, 0, 0)


class StateFile:
    """One file; every method raises ClusterError, with the file's name, where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: _Signature | None = None
        self._guard = threading.Lock()
        self._users = 0
        self._lock = -1

    def changed(self) -> tuple[int, list[dict[str, Any]]] | None:
        """Read the file if another state lies there than was read or written last.

        Returns the resourceVersion that was reached, and the objects; an absent file has none.
        """
        signature = self._signature()
        if signature == self._seen:
            return None
        content = b"" if signature == _NO_FILE else self._read()
        state = (0, []) if signature == _NO_FILE else _parsed(self._path, content)
        self._seen = signature
        return state

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing; threads of this one share the lock."""
        with self._guard:
            if not self._users:
                self._lock = self._acquire()
            self._users += 1
        try:
            yield
        finally:
            with self._guard:
                self._users -= 1
                if not self._users:
                    os.close(self._lock)

    def draft(self, version: int, objects: Iterable[bytes]) -> Path:
        """Write a new state beside the file, down to the disk."""
        head = b'{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":"%d"},"items":[\n'
        with self._named_errors("written"):
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            with _removed_on_error(Path(name)), os.fdopen(handle, "wb") as file:
                file.writelines((head % version, b",\n".join(objects), b"\n]}\n"))
                file.flush()
                os.fsync(file.fileno())
            return Path(name)

    def replace(self, draft: Path) -> None:
        """Make a draft the state."""
        with self._named_errors("written"), _removed_on_error(draft):
            draft.replace(self._path)
        self._seen = self._signature()

    def _acquire(self) -> int:
        with self._named_errors("locked"):
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            return lock

    def _read(self) -> bytes:
        with self._named_errors("read"):
            return self._path.read_bytes()

    def _signature(self) -> _Signature:
        with self._named_errors("read"):
            try:
                stat = self._path.stat()
            except FileNotFoundError:
                return _NO_FILE
            return stat.st_mtime_ns, stat.st_ino, stat.st_size

    @contextlib.contextmanager
    def _named_errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ClusterError(
                f"{self._path}: the state file cannot be {verb}: {error.strerror}"
            ) from error


@contextlib.contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _parsed(path: Path, content: bytes) -> tuple[int, list[dict[str, Any]]]:
    try:
        state = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _foreign(path, f"it is not JSON ({error})") from error
    items = state.get("items") if isinstance(state, dict) else None
    if not isinstance(items, list):
        raise _foreign(path, 'it has no list "items"')
    for index, item in enumerate(items):
        if not _is_object(item):
            raise _foreign(path, f"items[{index}] is not an object with kind and name")
    return max(_version(state), *(_version(item) for item in items), 0), items


def _is_object(item: Any) -> bool:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(metadata, dict):
        return False
    identity = (item.get("apiVersion"), item.get("kind"), metadata.get("name"))
    return all(isinstance(part, str) and part for part in identity)


def _version(holder: dict[str, Any]) -> int:
    text = str((holder.get("metadata") or {}).get("resourceVersion", ""))
    return int(text) if text.isascii() and text.isdigit() else 0


def _foreign(path: Path, reason: str) -> ClusterError:
    return ClusterError(
        f"{path}: not a state file of the embedded cluster: {reason}; it is left as it is: "
        "name another file, or delete this one to start with an empty cluster"
    )
