"""No generation has work without its mark, whatever an agent does while passes read it."""

import subprocess
import sys
from contextlib import contextmanager

import pytest

from reconcile.mirror.concurrency import WorkerPool
from reconcile.mirror.history.restore import restore_to_directory
from reconcile.mirror.workspace.session_mark import MARK
from tests.mirror.faults.agent_with_marks import find_newest_work

PASSES = 15
SEEDS = (1, 2)


@contextmanager
def agent(root, seed):
    """Run the agent for the duration of the block."""
    module = "tests.mirror.faults.agent_with_marks"
    process = subprocess.Popen([sys.executable, "-m", module, str(root), str(seed)])
    try:
        while not (root / MARK).exists():
            assert process.poll() is None
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("seed", SEEDS)
def test_no_generation_has_work_without_its_mark(pod, tmp_path, seed):
    with agent(pod.root, seed):
        own = pod.syncer()
        passes = [own.run(pod.pass_options(final=turn % 5 == 4)) for turn in range(PASSES)]
    numbers = {done.generation.number: done.generation for done in passes}
    assert len(numbers) == PASSES
    newest = 0
    for number, generation in numbers.items():
        target = tmp_path / f"restored{number}"
        pool = WorkerPool(2, "fetch")
        restore_to_directory(pod.store, generation, target, pool, pod.clock)
        work = find_newest_work(target)
        assert work <= int((target / MARK).read_text()), number
        newest = max(newest, work)
    assert newest > 1
