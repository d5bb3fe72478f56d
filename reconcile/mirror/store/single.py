"""For a store without conditional writes, where somebody vouches that there is one writer."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from reconcile.mirror.errors import MissingObjectError, PreconditionError
from reconcile.mirror.store.port import Absent, Bytes, Listed, Room, Store, Stored


class SingleWriterStore:
    """Wraps a Store; looks before it writes, which tells a second writer unless both look at once.

    `put_if` may have written where the answer of its last look is lost, as with any store.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    def get(self, key: str) -> Stored:
        return self._inner.get(key)

    def get_into(self, key: str, room: Room) -> int:
        return self._inner.get_into(key, room)

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        return self._inner.get_range(key, offset, size)

    def put(self, key: str, parts: Sequence[Bytes], digest: str) -> None:
        self._inner.put(key, parts, digest)

    def put_if(self, key: str, body: bytes, etag: str | Absent) -> str:
        if self._etag(key) != (etag if isinstance(etag, str) else ""):
            raise PreconditionError(f"{key} is no longer what it was")
        self._inner.put(key, (body,), hashlib.sha256(body).hexdigest())
        written = self._inner.get(key)
        if written.body != body:
            raise PreconditionError(f"{key} was written by somebody else at the same time")
        return written.etag

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return self._inner.list(prefix, after)

    def delete(self, keys: Iterable[str]) -> None:
        self._inner.delete(keys)

    def _etag(self, key: str) -> str:
        try:
            return self._inner.get(key).etag
        except MissingObjectError:
            return ""


if TYPE_CHECKING:
    _conforms: type[Store] = SingleWriterStore
