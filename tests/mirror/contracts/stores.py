"""The stores that the contract suite tests, each with its own bucket."""

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
    """One bucket; `below` opens the store of a prefix."""

    below: Callable[[str], Store]


def memory() -> StoreUnderTest:
    """Return a bucket in memory."""
    return StoreUnderTest(MemoryBucket().below)


def wrapped() -> StoreUnderTest:
    """Return a bucket in memory with the rate limit and retries of the programs."""
    clock = FakeClock()
    limiter = RateLimiter(1000.0, clock, lambda: False, lambda _seconds: None)
    bucket = MemoryBucket()

    def below(prefix: str) -> Store:
        limited = RateLimitedStore(bucket.below(prefix), limiter)
        return RetryingStore(
            limited, ThrottleAwareClock(clock, limiter), RetryPolicy(retry_denied=True)
        )

    return StoreUnderTest(below)


def on(server: S3Server) -> StoreUnderTest:
    """Return a new bucket on an S3 server."""
    bucket = buckets.fresh(server)
    return StoreUnderTest(
        lambda prefix: S3Store(server.location(bucket, prefix), server.credentials)
    )
