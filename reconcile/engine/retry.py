"""A Cluster that retries temporary errors: throttling, server failures, broken connections.

Every request is safe to repeat: reads, applies (the same body gives the same object) and deletes
with a UID.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from reconcile.core.errors import UnavailableError
from reconcile.core.model import Kind, KubeObject, ObjectRef
from reconcile.engine.ports import ApplyOptions, Clock, Cluster

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class RetryBackoff:
    """When to retry: waits double from `initial_seconds` to at most `max_seconds` seconds.

    Six tries with waits of at most 0.5 + 1 + 2 + 4 + 8 seconds outlast an API server's restart.
    A delay that the server requests is obeyed up to `max_retry_after` seconds.
    """

    max_attempts: int = 6
    initial_seconds: float = 0.5
    max_seconds: float = 30.0
    max_retry_after: float = 300.0

    def delay(self, failures: int, jitter: float, retry_after: float) -> float:
        """The seconds to wait after this many failures; at least what the server requests."""
        ceiling = min(self.max_seconds, self.initial_seconds * 2.0 ** (failures - 1))
        return max(min(retry_after, self.max_retry_after), ceiling * (0.5 + jitter / 2))


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

    def delete(self, kind: Kind, ref: ObjectRef, uid: str) -> None:
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
