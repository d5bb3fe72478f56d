"""A Cluster that retries temporary errors: throttling, server failures, broken connections.

Every request is safe to repeat: reads, applies (the same body gives the same object) and deletes
with a UID.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from reconcile.core.errors import UnavailableError
from reconcile.core.model import Kind, KubeObject, ObjectRef
from reconcile.engine.ports import ApplyOptions, Clock, Cluster
from reconcile.runtime.backoff import Backoff

_Result = TypeVar("_Result")


_API_SERVER_BACKOFF: Final = Backoff(initial=0.5, maximum=30.0)


@dataclass(frozen=True, slots=True)
class RetryBackoff:
    """How often to retry, and how long to wait before each attempt.

    Six attempts with delays of at most 0.5 + 1 + 2 + 4 + 8 seconds outlast the restart of an API
    server. A Retry-After of the server is obeyed up to `max_retry_after` seconds.
    """

    max_attempts: int = 6
    backoff: Backoff = _API_SERVER_BACKOFF
    max_retry_after: float = 300.0

    def delay(self, failures: int, jitter: float, retry_after: float) -> float:
        """Return the seconds to wait after so many failures; see `Backoff.delay`."""
        return self.backoff.delay(failures, jitter, min(retry_after, self.max_retry_after))


class RetryingCluster:
    """Wraps a Cluster; gives up with the last error."""

    def __init__(self, inner: Cluster, clock: Clock, backoff: RetryBackoff) -> None:
        self._inner = inner
        self._clock = clock
        self._backoff = backoff

    def list(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Iterator[KubeObject]:
        return self._iterate(lambda: self._inner.list(kind, namespace, labels))

    def metadata(self, kind: Kind, namespace: str) -> Iterator[KubeObject]:
        return self._iterate(lambda: self._inner.metadata(kind, namespace))

    def get(self, kind: Kind, namespace: str, name: str) -> KubeObject:
        return self._call(lambda: self._inner.get(kind, namespace, name))

    def apply(self, body: KubeObject, options: ApplyOptions) -> KubeObject:
        return self._call(lambda: self._inner.apply(body, options))

    def delete(self, kind: Kind, ref: ObjectRef, uid: str) -> tuple[str, ...]:
        return self._call(lambda: self._inner.delete(kind, ref, uid))

    def _call(self, request: Callable[[], _Result]) -> _Result:
        failures = 0
        while True:
            try:
                return request()
            except UnavailableError as error:
                failures += 1
                self._wait(failures, error)

    def _iterate(self, request: Callable[[], Iterator[KubeObject]]) -> Iterator[KubeObject]:
        """Restart a list that broke, without yielding an object twice."""
        yielded: set[str] = set()
        failures = 0
        while True:
            try:
                for body in request():
                    if body["metadata"]["uid"] not in yielded:
                        yielded.add(body["metadata"]["uid"])
                        yield body
            except UnavailableError as error:
                failures += 1
                self._wait(failures, error)
            else:
                return

    def _wait(self, failures: int, error: UnavailableError) -> None:
        if failures >= self._backoff.max_attempts:
            raise error
        self._clock.sleep(self._backoff.delay(failures, self._clock.jitter(), error.retry_after))


if TYPE_CHECKING:
    _conforms: type[Cluster] = RetryingCluster
