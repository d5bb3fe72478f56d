"""Writers, collections and kills in any order: every kept generation stays complete.

The model: the generation of HEAD, and each generation that the policy keeps, can be restored after
every step, whichever process was killed at any point, and however long any of them was suspended.
"""

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from reconcile.mirror.concurrency import Deadline, WorkerPool
from reconcile.mirror.errors import MirrorError
from reconcile.mirror.history.gc import GarbageCollector, GcPolicy
from reconcile.mirror.history.generations import read_generation_index
from reconcile.mirror.history.verify import Verifier
from reconcile.mirror.snapshot.repack import RepackPolicy
from reconcile.mirror.snapshot.retention import RetentionPolicy, select_generations_to_keep
from tests.clocks import FakeClock
from tests.mirror.history.interleaving import Turns, TurnStore
from tests.mirror.memory_store import MemoryBucket
from tests.mirror.mirror_pod import MirrorPod

HOUR = 3600.0
POLICY = RetentionPolicy(1, 0, 2)
RULES = GcPolicy(POLICY, HOUR)
LARGE = [bytes([byte]) * (4 << 20) + b"." for byte in b"xy"]

PAUSES = st.sampled_from([1.0, 60.0, 0.6 * HOUR, 1.5 * HOUR, 30 * HOUR])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.sampled_from(["pod", "gc1", "gc2"]), st.integers(1, 12)),
        st.tuples(st.just("finish"), st.sampled_from(["pod", "gc1", "gc2"])),
        st.tuples(st.just("kill"), st.sampled_from(["pod", "gc1", "gc2"])),
        st.tuples(st.just("write"), st.integers(0, 2), st.integers(0, 3)),
        st.tuples(st.just("sleep"), PAUSES),
        st.tuples(st.just("claim")),
    ),
    min_size=10,
    max_size=60,
)


class Stage:
    """One session, one writing pod at a time, and two collections."""

    def __init__(self, folder):
        self.folder = folder
        self.clock = FakeClock(1_800_000_000.0)
        self.bucket = MemoryBucket(lambda: self.clock.seconds)
        self.store = self.bucket.below("ns/s/")
        self.turns = Turns()
        self.running = set()
        self.pods = 0
        self.errors = []
        self.claim()

    def claim(self):
        """A new pod takes over; its predecessor may be in the middle of a pass."""
        self.pods += 1
        pod = MirrorPod(self.folder, f"pod{self.pods}", self.store, self.clock)
        pod.hydrate()
        pod.store = TurnStore(self.store, self.turns, f"pod{self.pods}")
        self.pod, self.syncer = pod, pod.syncer()

    def write(self, name, content):
        target = self.pod.root / f"f{name}"
        self.clock.seconds += 1
        if content == 3:
            target.unlink(missing_ok=True)
        elif content == 2:
            target.write_bytes(b"small %d" % name)
        else:
            target.write_bytes(LARGE[content])

    def pass_options(self):
        """Repack whenever there are two packs."""
        return self.pod.pass_options(thrift=RepackPolicy(max_small_packs=1))

    def name(self, actor):
        return f"pod{self.pods}" if actor == "pod" else actor

    def begin(self, actor):
        name = self.name(actor)
        if name in self.running:
            return name
        if actor == "pod":
            self.turns.start(name, self.caught(lambda: self.syncer.run(self.pass_options())))
        else:
            store = TurnStore(self.store, self.turns, name)
            collector = GarbageCollector(store, RULES, self.clock)
            self.turns.start(name, self.caught(collector.collect))
        self.running.add(name)
        return name

    def caught(self, work):
        def run():
            try:
                work()
            except MirrorError as error:
                self.errors.append(error)

        return run

    def step(self, actor, count=1000):
        name = self.begin(actor)
        for _ in range(count):
            if not self.turns.step(name):
                self.running.discard(name)
                return

    def kill(self, actor):
        name = self.name(actor)
        if name in self.running:
            self.turns.kill(name)
            self.running.discard(name)
        if actor == "pod":
            self.syncer = self.pod.syncer()

    def check(self):
        index = read_generation_index(self.store)
        committed = index.generations()
        wanted = select_generations_to_keep(committed.values(), POLICY)
        generations = [each for number, each in committed.items() if number in wanted]
        verifier = Verifier(self.store, WorkerPool(1, "verify"), Deadline(self.clock))
        found = verifier.verify(generations)
        assert found.damaged == ()
        assert index.unreadable == {}

    def end(self):
        for name in list(self.running):
            self.turns.kill(name)


def _play(stage, steps):
    for step in steps:
        note(f"{step}")
        match step:
            case ("step", actor, count):
                stage.step(actor, count)
            case ("finish", actor):
                stage.step(actor)
            case ("kill", actor):
                stage.kill(actor)
            case ("write", name, content):
                stage.write(name, content)
            case ("sleep", seconds):
                stage.clock.seconds += seconds
            case ("claim",):
                stage.claim()
        stage.check()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_kept_generations_are_complete_after_every_step(steps):
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        try:
            _play(stage, steps)
        finally:
            stage.end()


def _about_to_delete(stage):
    """Prepare a chunk that is marked as garbage and is deleted by the next collection."""
    for name, content in ((0, 0), (0, 1), (1, 2), (1, 3)):
        stage.write(name, content)
        stage.step("pod")
        stage.clock.seconds += 60 * HOUR
    stage.step("gc1")
    stage.clock.seconds += 60 * HOUR


@pytest.mark.parametrize("before_commit", [1, 2, 3, 4])
def test_a_chunk_stored_again_while_it_is_deleted_is_not_lost(tmp_path, before_commit):
    """The writer stores garbage again, at each point of the collection that deletes it."""
    blob = f"blobs/{hashlib.sha256(LARGE[0]).hexdigest()}"
    deletes = set()
    for requests in range(0, 80, 2):
        stage = Stage(tmp_path / f"{requests}")
        _about_to_delete(stage)
        stage.write(0, 0)
        stage.step("gc1", requests)
        stage.step("pod", before_commit)
        stage.step("gc1")
        stage.check()
        deletes.update(r.key for r in stage.bucket.requests if r.method == "delete")
        stage.step("pod")
        stage.clock.seconds += HOUR
        stage.step("pod")
        stage.check()
        assert blob in [each.key for each in stage.store.list("blobs/")]
        stage.end()
    assert f"ns/s/{blob}" in deletes
