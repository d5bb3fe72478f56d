"""A pod with its passes and its end, with a clock that only waits move."""

import itertools

from reconcile.mirror.sidecar.loop import (
    LoopContext,
    PassRunner,
    SyncLoop,
    SyncSchedule,
)
from reconcile.mirror.sidecar.shutdown import ShutdownPlan, shut_down
from reconcile.mirror.sidecar.status import StatusRegistry
from reconcile.mirror.sidecar.termination import (
    NoRunner,
    ShutdownSignal,
    ShutdownTimeouts,
)
from tests.mirror.mirror_pod import RecordingLogger

TIMES = ShutdownTimeouts(runner=60, flush=20)


class Stage:
    """A pod whose process is about to end."""

    def __init__(self, pod):
        self.pod = pod
        self.context = LoopContext(pod.clock, StatusRegistry(), RecordingLogger())
        self.ending = ShutdownSignal(pod.clock, pod.state)
        self.passes = PassRunner(pod.syncer(), self.context)

    def end(self, runner=None, times=None):
        self.ending.terminate()
        plan = ShutdownPlan(runner or NoRunner(), times or ShutdownTimeouts(flush=20))
        return shut_down(self.passes, self.context, self.ending, plan)


def run_loop(stage, rounds, during=lambda _round: None, times=TIMES):
    """Run a loop so many rounds of ten seconds; `during` is called with the number of each."""
    loop = SyncLoop(stage.passes, stage.context, stage.ending, SyncSchedule(interval=1), times)
    count = itertools.count()

    def wait(_seconds):
        stage.pod.clock.seconds += 10
        number = next(count)
        during(number)
        if number == rounds:
            stage.ending.terminate()

    stage.ending.wait = stage.ending.wait_for_prestop = wait
    loop.read_head()
    loop.run()
