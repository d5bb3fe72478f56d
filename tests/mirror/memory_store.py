"""A strongly consistent store in memory, with faults that a test injects."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import time
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from reconcile.mirror.errors import (
    DamagedError,
    MissingObjectError,
    PreconditionError,
    StoreAwayError,
    StoreError,
)
from reconcile.mirror.store.port import (
    DEFAULT_LIMIT,
    BytesLike,
    ListedObject,
    ObjectAbsent,
    ObjectData,
    Sink,
    Store,
)

_Result = TypeVar("_Result")


class Request(Struct, frozen=True):
    """A request for which a fault may be injected: a method of the port and the full key.

    `done` says whether the store has already performed it; a fault then loses the response.
    """

    method: str
    key: str
    done: bool


Fault = Callable[[Request], StoreError | None]


def no_fault(_request: Request) -> None:
    """Inject no faults."""


class MemoryBucket:
    """Objects by key; several stores may share one bucket.

    Attributes:
        objects: Body and modification time by key; tests change it to damage objects.
        requests: Every received request once, in order.
        fault: Called before and after each request; the error that it returns is raised.
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

    def get(self, key: str, limit: int = DEFAULT_LIMIT) -> ObjectData:
        stored = self._perform(
            "get", key, lambda full: ObjectData(self._body(full), self._etag(full))
        )
        if len(stored.body) > limit:
            raise DamagedError(f"{key} has more than {limit} bytes")
        return stored

    def get_into(self, key: str, sink: Sink) -> int:
        body = self._perform("get", key, self._body)
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
        part = self._perform(
            "get_range", key, lambda full: self._body(full)[offset : offset + size]
        )
        if len(part) != size:
            raise DamagedError(f"{key} ends before byte {offset + size}")
        return part

    def put(self, key: str, parts: Sequence[BytesLike], digest: str) -> None:
        body = b"".join(parts)
        if hashlib.sha256(body).hexdigest() != digest:
            raise StoreError(f"{key}: the body is not what its digest says")
        self._perform("put", key, lambda full: self._write(full, body))

    def put_if(self, key: str, body: bytes, etag: str | ObjectAbsent) -> str:
        return self._perform("put_if", key, lambda full: self._write_if(full, body, etag))

    def list(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        yield from self._perform(
            "list", prefix, lambda full: self._below(full, self._prefix + after)
        )

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._perform("delete", key, lambda full: self.bucket.objects.pop(full, None))

    def retry(self, operation: Callable[[], _Result]) -> _Result:
        return operation()

    def _perform(self, method: str, key: str, work: Callable[[str], _Result]) -> _Result:
        full = self._prefix + key
        with self.bucket.lock:
            self.bucket.requests.append(Request(method, full, done=False))
            self._inject(Request(method, full, done=False))
            result = work(full)
            self._inject(Request(method, full, done=True))
        return result

    def _inject(self, request: Request) -> None:
        error = self.bucket.fault(request)
        if error is not None:
            raise error

    def _body(self, full: str) -> bytes:
        try:
            return self.bucket.objects[full][0]
        except KeyError:
            raise MissingObjectError(f"there is no object {full}") from None

    def _etag(self, full: str) -> str:
        # As in S3: the MD5, so equal bytes have equal ETags.
        return hashlib.md5(self._body(full), usedforsecurity=False).hexdigest()

    def _write(self, full: str, body: bytes) -> None:
        self.bucket.objects[full] = (body, self.bucket.now())

    def _write_if(self, full: str, body: bytes, etag: str | ObjectAbsent) -> str:
        exists = full in self.bucket.objects
        matches = exists and etag == self._etag(full) if isinstance(etag, str) else not exists
        if not matches:
            raise PreconditionError(f"{full} has changed")
        self._write(full, body)
        return self._etag(full)

    def _below(self, full: str, after: str) -> Sequence[ListedObject]:
        items = sorted(self.bucket.objects.items())
        return [
            ListedObject(key.removeprefix(self._prefix), len(body), written)
            for key, (body, written) in items
            if key.startswith(full) and key > after
        ]


class FaultScript:
    """Faults for a MemoryBucket in order; each is for one method and one moment, and used once."""

    def __init__(self):
        self.left = []
        self._always = []
        self._busy = False

    def lose_before(self, method, times=1):
        """Lose a request before the store gets it."""
        self.left += [(method, False, lambda: StoreAwayError("no answer"))] * times

    def lose_after(self, method, times=1):
        """Lose the response of a request that the store has performed."""
        self.left += [(method, True, lambda: StoreAwayError("no answer"))] * times

    def refuse(self, method, times=1):
        self.fail(method, PreconditionError("refused"), times)

    def fail(self, method, error, times=1):
        self.left += [(method, False, lambda: error)] * times

    def before(self, method, action):
        """Call `action` just before the store gets the request."""
        self.left.append((method, False, action))

    def always_before(self, method, action):
        self._always.append((method, action))

    def fault(self, request):
        if self._busy:
            return None
        for method, action in self._always:
            if method == request.method and not request.done:
                self._do(action)
        for item in self.left:
            if item[:2] == (request.method, request.done):
                self.left.remove(item)
                return self._do(item[2])
        return None

    def _do(self, action):
        self._busy = True
        try:
            result = action()
        finally:
            self._busy = False
        return result if isinstance(result, Exception) else None


def requests(store):
    """The requests that the bucket received, as `method top-folder`."""
    return [f"{r.method} {r.key.partition('/')[0]}" for r in store.bucket.requests]


class InterruptedStore:
    """A store that calls `action` before the first conditional write."""

    def __init__(self, inner, action):
        self._inner = inner
        self._action = action

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def put_if(self, key, body, etag):
        action, self._action = self._action, lambda: None
        action()
        return self._inner.put_if(key, body, etag)


if TYPE_CHECKING:
    _conforms: type[Store] = MemoryStore
