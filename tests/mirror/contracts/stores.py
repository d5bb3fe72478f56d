"""The stores that the contract judges, each with a bucket of its own."""

from collections.abc import Callable
from dataclasses import dataclass

from reconcile.mirror.store.port import Store
from reconcile.mirror.store.rate_limit import RateLimitedStore, RateLimiter, ThrottleAwareClock
from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
from reconcile.mirror.store.s3 import S3Store
from tests.clocks import FakeClock
from tests.mirror.memory_store import MemoryBucket
from tests.s3 import buckets
from tests.s3.access import S3Server


@dataclass(frozen=True, slots=True)
class StoreUnderTest:
    """One bucket; `below` opens a prefix of it."""

    below: Callable[[str], Store]


def memory() -> StoreUnderTest:
    """Return a bucket in this process."""
    return StoreUnderTest(MemoryBucket().below)


def wrapped() -> StoreUnderTest:
    """Return a bucket in this process behind all that a program puts before one."""
    clock = FakeClock()
    pace = RateLimiter(1000.0, clock, lambda: False, lambda _seconds: None)
    bucket = MemoryBucket()

    def below(prefix: str) -> Store:
        paced = RateLimitedStore(bucket.below(prefix), pace)
        return RetryingStore(paced, ThrottleAwareClock(clock, pace), RetryPolicy(retry_denied=True))

    return StoreUnderTest(below)


def on(server: S3Server) -> StoreUnderTest:
    """Return a new bucket on a server."""
    bucket = buckets.fresh(server)
    return StoreUnderTest(
        lambda prefix: S3Store(server.location(bucket, prefix), server.credentials)
    )
