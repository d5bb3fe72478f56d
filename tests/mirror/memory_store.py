"""A store in this process: strongly consistent, and as forgetful or faulty as a test wants it."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import time
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from reconcile.mirror.errors import DamagedError, MissingObjectError, PreconditionError, StoreError
from reconcile.mirror.store.port import (
    BytesLike,
    ListedObject,
    ObjectAbsent,
    ObjectData,
    Sink,
    Store,
)

_Result = TypeVar("_Result")


class Request(Struct, frozen=True):
    """What a fault is asked about: a method of the port and the key, from the bucket's root on.

    `done` says whether the store has already carried it out: a fault then loses the answer.
    """

    method: str
    key: str
    done: bool


Fault = Callable[[Request], StoreError | None]


def no_fault(_request: Request) -> None:
    """Let every request pass."""


class MemoryBucket:
    """Objects by key; several stores may look at one bucket.

    Attributes:
        objects: Body and time of writing by key; tests change it to damage something.
        requests: All that came in, in order, once each.
        fault: Asked before and after each request; what it returns is raised.
    """

    def __init__(self, now: Callable[[], float] = time) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.requests: list[Request] = []
        self.fault: Fault = no_fault
        self.now = now
        self.lock = threading.RLock()

    def below(self, prefix: str) -> "MemoryStore":
        """Return the store of one prefix, such as `team/fix-login/`."""
        return MemoryStore(self, prefix)


class MemoryStore:
    """One prefix of a MemoryBucket."""

    def __init__(self, bucket: MemoryBucket | None = None, prefix: str = "") -> None:
        self.bucket = bucket or MemoryBucket()
        self._prefix = prefix

    def get(self, key: str) -> ObjectData:
        return self._done("get", key, lambda full: ObjectData(self._body(full), self._etag(full)))

    def get_into(self, key: str, sink: Sink) -> int:
        body = self._done("get", key, self._body)
        sink.begin()
        at = 0
        while at < len(body) and (space := sink.space()):
            piece = body[at : at + len(space)]
            space[: len(piece)] = piece
            sink.take(len(piece))
            at += len(piece)
        if at < len(body):
            raise DamagedError(f"{key} has more than {at} bytes")
        return at

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        part = self._done("get_range", key, lambda full: self._body(full)[offset : offset + size])
        if len(part) != size:
            raise DamagedError(f"{key} ends before byte {offset + size}")
        return part

    def put(self, key: str, parts: Sequence[BytesLike], digest: str) -> None:
        body = b"".join(parts)
        if hashlib.sha256(body).hexdigest() != digest:
            raise StoreError(f"{key}: the body is not what its digest says")
        self._done("put", key, lambda full: self._write(full, body))

    def put_if(self, key: str, body: bytes, etag: str | ObjectAbsent) -> str:
        return self._done("put_if", key, lambda full: self._write_if(full, body, etag))

    def list(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        yield from self._done("list", prefix, lambda full: self._below(full, self._prefix + after))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._done("delete", key, lambda full: self.bucket.objects.pop(full, None))

    def _done(self, method: str, key: str, work: Callable[[str], _Result]) -> _Result:
        full = self._prefix + key
        with self.bucket.lock:
            self.bucket.requests.append(Request(method, full, done=False))
            self._fail(Request(method, full, done=False))
            result = work(full)
            self._fail(Request(method, full, done=True))
        return result

    def _fail(self, request: Request) -> None:
        error = self.bucket.fault(request)
        if error is not None:
            raise error

    def _body(self, full: str) -> bytes:
        try:
            return self.bucket.objects[full][0]
        except KeyError:
            raise MissingObjectError(f"there is no object {full}") from None

    def _etag(self, full: str) -> str:
        # As in S3, equal bytes have equal ETags.
        return hashlib.sha256(self._body(full)).hexdigest()[:32]

    def _write(self, full: str, body: bytes) -> None:
        self.bucket.objects[full] = (body, self.bucket.now())

    def _write_if(self, full: str, body: bytes, etag: str | ObjectAbsent) -> str:
        there = full in self.bucket.objects
        fits = there and etag == self._etag(full) if isinstance(etag, str) else not there
        if not fits:
            raise PreconditionError(f"{full} is not what it was")
        self._write(full, body)
        return self._etag(full)

    def _below(self, full: str, after: str) -> Sequence[ListedObject]:
        found = sorted(self.bucket.objects.items())
        return [
            ListedObject(key.removeprefix(self._prefix), len(body), written)
            for key, (body, written) in found
            if key.startswith(full) and key > after
        ]


if TYPE_CHECKING:
    _conforms: type[Store] = MemoryStore
