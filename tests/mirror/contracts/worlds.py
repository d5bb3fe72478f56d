"""The stores that the contract judges, each with a bucket of its own."""

from collections.abc import Callable
from dataclasses import dataclass

from reconcile.mirror.store.memory import MemoryBucket
from reconcile.mirror.store.port import Store
from reconcile.mirror.store.s3 import S3Store
from tests.s3 import buckets
from tests.s3.access import S3Server


@dataclass(frozen=True, slots=True)
class World:
    """One bucket; `below` opens a prefix of it."""

    below: Callable[[str], Store]


def memory() -> World:
    """Return a bucket in this process."""
    return World(MemoryBucket().below)


def on(server: S3Server) -> World:
    """Return a new bucket on a server."""
    bucket = buckets.fresh(server)
    return World(lambda prefix: S3Store(server.location(bucket, prefix), server.credentials))
