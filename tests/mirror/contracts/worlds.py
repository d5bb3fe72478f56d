"""The stores that the contract tests run on, each with a new bucket."""

from collections.abc import Callable
from dataclasses import dataclass

from reconcile.mirror.store.port import Store
from reconcile.mirror.store.rate_limit import RateLimitedStore, RateLimiter, ThrottleAwareClock
from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
from reconcile.mirror.store.s3 import S3Store
from tests.mirror.memory_store import MemoryBucket
from tests.mirror.store.clocks import FakeClock
from tests.s3 import buckets
from tests.s3.access import S3Server


@dataclass(frozen=True, slots=True)
class World:
    """One bucket; `below` opens a prefix of it."""

    below: Callable[[str], Store]


def memory() -> World:
    """Return a bucket in this process."""
    return World(MemoryBucket().below)


def wrapped() -> World:
    """Return a bucket in this process behind the wrappers that the program uses."""
    clock = FakeClock()
    limiter = RateLimiter(1000.0, clock, lambda: False, lambda _seconds: None)
    bucket = MemoryBucket()

    def below(prefix: str) -> Store:
        limited = RateLimitedStore(bucket.below(prefix), limiter)
        return RetryingStore(
            limited, ThrottleAwareClock(clock, limiter), RetryPolicy(retry_denied=True)
        )

    return World(below)


def on(server: S3Server) -> World:
    """Return a new bucket on a server."""
    bucket = buckets.fresh(server)
    return World(lambda prefix: S3Store(server.location(bucket, prefix), server.credentials))
