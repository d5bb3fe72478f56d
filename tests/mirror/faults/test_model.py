"""Pods, passes, lost answers and restarts in any order: a restore is what was acknowledged last.

The model is the tree as it was when a pass was acknowledged, and the trees of passes since then
whose fate is not known. Everything is real but the store, which is in memory, and the clock.
"""

import itertools
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reconcile.mirror.backup.syncer import PassResult
from reconcile.mirror.concurrency import Deadline, DeadlineExceededError, WorkerPool
from reconcile.mirror.errors import FencedError, StoreAwayError, StoreError
from reconcile.mirror.head import read_cached_tree, read_head
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.restore.downloader import Downloader
from reconcile.mirror.restore.tasks import plan_tasks, run_tasks
from reconcile.mirror.workspace.restorer import Restorer
from tests.clocks import FakeClock
from tests.mirror.compare_trees import facts
from tests.mirror.faults.edits import edit
from tests.mirror.memory_store import MemoryStore
from tests.mirror.mirror_pod import MirrorPod

LOSSES = st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=3).map(frozenset)
"""Which requests of a deed are lost, counted from 0, and whether they were done before."""


class Components(RuleBasedStateMachine):
    """What happens to a session."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="components-")
        self.store = MemoryStore()
        self.count = 0
        self.zombies = []
        self.acknowledged = {}
        self.in_doubt = []
        self.number = 0

    def teardown(self):
        self.folder.cleanup()

    @initialize()
    def begin(self):
        self.pod = self._pod()
        self.pod.hydrate()
        self.syncer = self.pod.syncer()

    @rule(seed=st.integers(0, 2**32))
    def work(self, seed):
        edit(self.pod.root, random.Random(seed), 5)

    @rule(losses=LOSSES)
    def sync(self, losses):
        wanted = facts(self.pod.root)
        self._losing(losses)
        try:
            self.syncer.run(self.pod.pass_options())
        except StoreError:
            assert losses
            self.in_doubt.append(wanted)
        else:
            self._acknowledge(wanted)
        finally:
            self._losing(())

    @rule(looks=st.integers(0, 60))
    def flush(self, looks):
        """The last flush, whose time is over after so many looks at the clock."""
        wanted = facts(self.pod.root)
        left = itertools.count()
        try:
            done = self.syncer.run(
                self.pod.pass_options(final=True, asked=lambda: next(left) >= looks)
            )
        except DeadlineExceededError:
            return
        if isinstance(done, PassResult) and done.archive.missing.files:
            self._acknowledge(self._mixture(wanted))
        else:
            self._acknowledge(wanted)

    @rule(keeps_index=st.booleans())
    def restart(self, keeps_index):
        if not keeps_index:
            self.pod.state.index_path.unlink(missing_ok=True)
        self.syncer = self.pod.syncer()

    @rule(losses=LOSSES)
    def hydrate_again(self, losses):
        """The pod's containers start again: the volume stays as it is."""
        before = facts(self.pod.root)
        self._losing(losses)
        try:
            self.pod.hydrate()
        except (StoreError, FencedError):
            assert losses
        finally:
            self._losing(())
        self.pod.hydrate()
        assert facts(self.pod.root) == before
        self.syncer = self.pod.syncer()

    @rule(losses=LOSSES)
    def take_over(self, losses):
        new = self._pod()
        self._losing(losses)
        try:
            new.hydrate()
        except StoreError:
            assert losses
            self._losing(())
            new.hydrate()
        finally:
            self._losing(())
        found = facts(new.root)
        assert found in (self.acknowledged, *self.in_doubt)
        self.zombies.append((self.pod, self.syncer))
        self.pod, self.syncer = new, new.syncer()
        self._acknowledge(found)

    @rule(which=st.integers(0, 9), seed=st.integers(0, 2**32), fresh=st.booleans())
    def zombie_wakes(self, which, seed, fresh):
        if not self.zombies:
            return
        pod, syncer = self.zombies[which % len(self.zombies)]
        edit(pod.root, random.Random(seed), 3)
        pod.write("of-the-dead", b"%d" % seed)
        before = self.store.bucket.objects["HEAD"]
        with pytest.raises(FencedError, match=self.pod.claimant.uid):
            (pod.syncer() if fresh else syncer).run(pod.pass_options())
        assert self.store.bucket.objects["HEAD"] == before

    @invariant()
    def a_restore_is_what_was_acknowledged(self):
        if self.count:
            assert self._restored() in (self.acknowledged, *self.in_doubt)

    def _pod(self):
        self.count += 1
        return MirrorPod(Path(self.folder.name), f"pod{self.count}", self.store, FakeClock())

    def _losing(self, losses):
        numbers = itertools.count()
        current = [0]

        def fault(request):
            if not request.done:
                current[0] = next(numbers)
            return StoreAwayError("no answer") if (current[0], request.done) in losses else None

        self.store.bucket.fault = fault

    def _acknowledge(self, tree):
        self._losing(())
        number = read_head(self.store).head.generation.number
        assert number >= self.number
        self.number, self.acknowledged, self.in_doubt = number, tree, []

    def _restored(self):
        """Restore HEAD without claiming it."""
        with tempfile.TemporaryDirectory(dir=self.folder.name) as name:
            root = Path(name) / "root"
            root.mkdir()
            generation = read_head(self.store).head.generation
            tree = read_cached_tree(self.store, StateDirectory(Path(name) / "state"), generation)
            restorer = Restorer(root, tree.entries.values())
            restorer.begin()
            tasks = plan_tasks(tree, restorer.files)
            run_task = Downloader(self.store, restorer).run_task
            run_tasks(run_task, tasks, WorkerPool(1, "fetch"), Deadline(FakeClock()))
            restorer.finish()
            return facts(root)

    def _mixture(self, wanted):
        """A partial generation has of each file one version whole: the last one, or the one now."""
        found = self._restored()
        for path in found.keys() | wanted.keys():
            versions = [
                _version(tree.get(path)) for tree in (wanted, self.acknowledged, *self.in_doubt)
            ]
            absent = path not in found and _version(wanted.get(path)) not in versions[1:]
            assert absent or _version(found.get(path)) in versions, path
        return found


def _version(fact):
    return fact and (fact.kind, fact.mode, fact.mtime, fact.content)


Components.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
test_components_in_any_order = Components.TestCase
