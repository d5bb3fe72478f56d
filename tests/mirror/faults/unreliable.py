"""A store that fails in every way that S3 documents, and its answers that arrive damaged.

`python -m tests.mirror.faults.unreliable` lets a `sync` send 100,000 requests to it.
"""

import argparse
import hashlib
import random
import secrets
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from reconcile.mirror.errors import (
    DamagedError,
    DeniedError,
    MirrorError,
    MissingObjectError,
    PreconditionError,
    StoreAwayError,
    StoreError,
)
from reconcile.mirror.head import read_head
from reconcile.mirror.history.gc import GarbageCollector, GcPolicy
from reconcile.mirror.history.generations import read_generation_tree
from reconcile.mirror.local_state import find_hydrate_marker
from reconcile.mirror.model import File, SnapshotTree
from reconcile.mirror.sidecar.loop import LoopContext, PassRunner, SyncLoop, SyncSchedule
from reconcile.mirror.sidecar.shutdown import ShutdownPlan, shut_down
from reconcile.mirror.sidecar.status import StatusRegistry
from reconcile.mirror.sidecar.termination import NoRunner, ShutdownSignal, ShutdownTimeouts
from reconcile.mirror.snapshot.gc import iter_new_keys
from reconcile.mirror.snapshot.retention import RetentionPolicy
from reconcile.mirror.store.port import ObjectData
from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
from tests.clocks import FakeClock
from tests.mirror.compare_trees import differences
from tests.mirror.faults.edits import edit
from tests.mirror.memory_store import MemoryBucket, MemoryStore
from tests.mirror.mirror_pod import MirrorPod, RecordingLogger

TIMES = ShutdownTimeouts(flush=600)
RETRY_TIMEOUT = 20.0
WEEK = 7 * 86_400.0
GC_POLICY = GcPolicy(RetentionPolicy(last=1, hourly=0, daily=0), grace=7200)


def cut(data: bytes, _rng: random.Random) -> bytes:
    """Cut the second half off."""
    return data[: len(data) // 2]


def empty(_data: bytes, _rng: random.Random) -> bytes:
    """Return nothing."""
    return b""


def portal(_data: bytes, _rng: random.Random) -> bytes:
    """Return the page of a captive portal."""
    return b"<html><body>Please log in</body></html>"


def flip(data: bytes, rng: random.Random) -> bytes:
    """Change one byte."""
    at = rng.randrange(len(data)) if data else 0
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if data else data


ERRORS: dict[str, Callable[[], Exception]] = {
    "500": lambda: StoreAwayError("InternalError"),
    "503": lambda: StoreAwayError("SlowDown", 7.0),
    "409": lambda: StoreAwayError("ConditionalRequestConflict"),
    "timeout": lambda: StoreAwayError("no data"),
    "403": lambda: DeniedError("AccessDenied"),
    "redirect": lambda: StoreError("TemporaryRedirect"),
    "full": lambda: StoreError("QuotaExceeded"),
}
DAMAGES = {each.__name__: each for each in (cut, empty, portal, flip)}
FAULTS = (*ERRORS, *DAMAGES, "lost answer", "late", "404", "412")


class UnreliableStore:
    """Wraps a store; `choose` names the fault of each request, or none with an empty text."""

    def __init__(
        self, inner: MemoryStore, choose: Callable[[], str], clock: FakeClock, rng: random.Random
    ) -> None:
        self._inner = inner
        self._choose = choose
        self._clock = clock
        self._rng = rng
        self.requests = 0
        self.failed: Counter[str] = Counter()

    def get(self, key, limit=1 << 30):
        stored, damage = self._perform("get", partial(self._inner.get, key, limit))
        return ObjectData(damage(stored.body), stored.etag)

    def get_into(self, key, sink):
        stored, damage = self._perform("get", partial(self._inner.get, key, 1 << 30))
        copy = MemoryStore(MemoryBucket(lambda: 0.0))
        copy.bucket.objects[key] = damage(stored.body), 0.0
        return copy.get_into(key, sink)

    def get_range(self, key, offset, size):
        data, damage = self._perform("get", partial(self._inner.get_range, key, offset, size))
        if len(damaged := damage(data)) != size:
            raise DamagedError(f"{key} is short")
        return damaged

    def put(self, key, parts, digest):
        return self._perform("put", partial(self._inner.put, key, parts, digest))[0]

    def put_if(self, key, body, etag):
        return self._perform("put_if", partial(self._inner.put_if, key, body, etag))[0]

    def list(self, prefix, after=""):
        yield from self._perform("list", lambda: list(self._inner.list(prefix, after)))[0]

    def delete(self, keys):
        return self._perform("delete", partial(self._inner.delete, list(keys)))[0]

    def _perform(self, method, work):
        fault = self._choose()
        self.requests += 1
        self._clock.seconds += 30.0 if fault == "late" else 0.01
        if fault:
            self.failed[f"{method} {fault}"] += 1
        if fault in ERRORS:
            make = ERRORS[fault]
            raise make()
        if fault == "404" and method == "get":
            raise MissingObjectError("NoSuchKey")
        if fault == "412" and method == "put_if":
            raise PreconditionError("PreconditionFailed")
        result = work()
        if fault == "lost answer" or (fault in DAMAGES and method != "get"):
            raise StoreAwayError("the answer is lost, or cannot be read")
        return result, partial(_damage, DAMAGES.get(fault), self._rng)

    def __getattr__(self, name):
        return getattr(self._inner, name)


def _damage(change, rng: random.Random, data: bytes) -> bytes:
    return data if change is None else change(data, rng)


class Scene:
    """A pod before an unreliable store; what is checked is read without faults."""

    def __init__(self, folder: Path, choose: Callable[[], str], seed: int) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.clock = FakeClock(1_000.0, wall_offset=1.7e9)
        self.honest = MemoryStore(MemoryBucket(lambda: self.clock.time_ns() / 1e9))
        self.unreliable = UnreliableStore(self.honest, choose, self.clock, self.rng)
        self.store = RetryingStore(self.unreliable, self.clock, RetryPolicy(RETRY_TIMEOUT))
        self.pods = 0

    def pod(self, store) -> MirrorPod:
        """Return a pod that has not hydrated yet."""
        self.pods += 1
        return MirrorPod(self.folder, f"pod{self.pods}", store, self.clock)

    def first_pod(self) -> MirrorPod:
        """Return a pod that has hydrated without faults."""
        pod = self.pod(self.honest)
        pod.hydrate()
        pod.store = self.store
        return pod

    def restored(self) -> MirrorPod:
        """Return a pod that has restored what is committed, without faults."""
        pod = self.pod(self.honest)
        pod.hydrate()
        return pod

    def hydrate_at_last(self, pod: MirrorPod, attempts: int = 100) -> MirrorPod:
        """Hydrate a pod whose starts may fail; each failed one leaves no mark."""
        for _ in range(attempts):
            try:
                pod.hydrate()
            except MirrorError:
                assert find_hydrate_marker(pod.state) is None
            else:
                return pod
        raise AssertionError(f"{attempts} starts have failed")

    def has_sent(self, requests: int) -> bool:
        """Say whether so many requests were sent."""
        return self.unreliable.requests >= requests

    def run_loop(self, pod: MirrorPod, is_over: Callable[[], bool], edits: int = 3) -> None:
        """Sync with edits between the rounds until `is_over`; check what is acknowledged."""
        shutdown = ShutdownSignal(self.clock, pod.state)
        context = LoopContext(self.clock, StatusRegistry(), RecordingLogger())
        registry, checked = context.status_registry, [0]

        def wait(_seconds: float) -> None:
            self.clock.seconds += 2
            status = registry.current
            if status.commits > checked[0] and not status.error:
                checked[0] = status.commits
                self.check_acknowledged(pod, status.generation)
            elif is_over():
                shutdown.terminate()
            if self.rng.random() < 0.5:
                edit(pod.root, self.rng, edits)

        for name in ("wait", "wait_for_prestop"):
            setattr(shutdown, name, wait)
        passes = PassRunner(pod.syncer(), context)
        loop = SyncLoop(passes, context, shutdown, SyncSchedule(interval=1), TIMES)
        loop.read_head()
        loop.run()
        message = shut_down(passes, context, shutdown, ShutdownPlan(NoRunner(), TIMES))
        assert message.outcome == "flushed", message

    def collect_garbage(self) -> None:
        """Collect garbage twice, a week apart: the bucket of a long run must fit into memory."""
        for _ in range(2):
            self.clock.seconds += WEEK
            GarbageCollector(self.honest, GC_POLICY, self.clock).collect()

    def check_acknowledged(self, pod: MirrorPod, number: int) -> None:
        """Check that the acknowledged generation is the workspace, and that nothing is missing."""
        version = read_head(self.honest)
        assert version is not None
        generation = version.head.generation
        assert generation.number >= number
        tree = read_generation_tree(self.honest, generation)
        assert set(iter_new_keys(SnapshotTree(), tree)) <= self.honest.bucket.objects.keys()
        for path, entry in tree.entries.items():
            if isinstance(entry, File) and len(entry.blobs) == 1:
                data = (pod.root / path).read_bytes()
                assert hashlib.sha256(data).hexdigest() == entry.blobs[0], path


RATE = 0.1


def survive(
    folder: Path, requests: int, seed: int, report: Callable[[int], object] = lambda _sent: None
) -> Counter[str]:
    """Let pods send so many requests of which a tenth fails; returns the faults by kind.

    Each pod syncs for a while, flushes and is followed by another one, which must restore all;
    `report` then gets the number of requests.
    """
    rng = random.Random(seed)
    scene = Scene(folder, lambda: rng.choice(FAULTS) if rng.random() < RATE else "", seed)
    pod = scene.first_pod()
    while scene.unreliable.requests < requests:
        end = min(requests, scene.unreliable.requests + rng.randrange(100, 2000))
        scene.run_loop(pod, partial(scene.has_sent, end))
        successor = scene.hydrate_at_last(scene.pod(scene.store))
        assert differences(pod.root, successor.root) == []
        shutil.rmtree(pod.root.parent)
        pod = successor
        scene.collect_garbage()
        report(scene.unreliable.requests)
    return scene.unreliable.failed


def main() -> int:
    """Send many requests, and say what failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mirror.faults.unreliable", description=__doc__
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    options = parser.parse_args()
    sys.stdout.write(f"{options.requests} requests with --seed {options.seed}\n")
    with tempfile.TemporaryDirectory(prefix="unreliable-") as name:
        failed = survive(Path(name), options.requests, options.seed, _print_progress)
    for kind, times in sorted(failed.items()):
        sys.stdout.write(f"{times:6} {kind}\n")
    return 0


def _print_progress(sent: int) -> None:
    print(f"{sent} requests sent, the last pod restored all", flush=True)


if __name__ == "__main__":
    sys.exit(main())
