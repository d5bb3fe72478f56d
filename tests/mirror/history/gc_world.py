"""A pod and a garbage collection on one store in memory; tests move the clock."""

import hashlib

from reconcile.mirror.concurrency import Deadline, WorkerPool
from reconcile.mirror.history.gc import GarbageCollector, GcPolicy
from reconcile.mirror.history.generations import read_generation_index
from reconcile.mirror.history.verify import Verifier
from reconcile.mirror.snapshot.retention import RetentionPolicy
from tests.clocks import FakeClock
from tests.mirror.memory_store import MemoryBucket
from tests.mirror.mirror_pod import MirrorPod

HOUR = 3600.0
DAY = 24 * HOUR
BIG = b"0123456789abcdef" * (5 << 16)


class GcWorld:
    """A pod and a garbage collection that share a clock with the store."""

    def __init__(self, folder):
        self.clock = FakeClock(1_800_000_000.0)
        self.bucket = MemoryBucket(lambda: self.clock.seconds)
        self.store = self.bucket.below("ns/s/")
        self.pod = MirrorPod(folder, "one", self.store, self.clock)
        self.pod.hydrate()

    def commit(self, path, data=b"x"):
        self.pod.write(path, data)
        self.clock.seconds += 1
        return self.pod.sync()

    def collect(self, last=1, hourly=0, daily=0):
        rules = GcPolicy(RetentionPolicy(last, hourly, daily), 2 * HOUR)
        return GarbageCollector(self.store, rules, self.clock).collect()

    def keys(self, prefix=""):
        return [each.key for each in self.store.list(prefix)]

    def put(self, key, body):
        self.store.put(key, [body], hashlib.sha256(body).hexdigest())

    def verify(self):
        verifier = Verifier(self.store, WorkerPool(1, "verify"), Deadline(self.clock))
        return verifier.verify(read_generation_index(self.store).generations().values())
