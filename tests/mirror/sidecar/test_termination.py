"""The loop, and the end from TERM to the termination message, with a clock that only waits move."""

import errno
import itertools
import json
import os
import re
import shutil
import socket
from pathlib import Path

import pytest

from reconcile.mirror import wiring
from reconcile.mirror.backup import file_archiver, syncer
from reconcile.mirror.errors import DeniedError, MissingObjectError, StoreAwayError
from reconcile.mirror.exit_codes import MirrorExitCode, exit_code_for_flush
from reconcile.mirror.model import Complete, Partial
from reconcile.mirror.sidecar import termination
from reconcile.mirror.sidecar.loop import (
    LoopContext,
    PassRunner,
    ScanSummary,
    SyncLoop,
    SyncSchedule,
    is_due,
    next_scan_delay,
)
from reconcile.mirror.sidecar.shutdown import ShutdownPlan, hard_deadline, shut_down
from reconcile.mirror.sidecar.status import StatusRegistry, assess_freshness
from reconcile.mirror.sidecar.termination import (
    NoRunner,
    RunnerFile,
    RunnerPort,
    ShutdownSignal,
    ShutdownTimeouts,
    TerminationMessage,
    encode_termination_message,
    has_runner_exited,
    write_termination_message,
)
from reconcile.mirror.workspace import walk
from reconcile.mirror.workspace.reader import FileChanged
from tests.mirror.memory_store import no_fault
from tests.mirror.mirror_pod import RecordingLogger, listing

TIMES = ShutdownTimeouts(runner=60, flush=20)


class SlowPuts:
    """Lets each write below a key take some time; writes of several threads overlap."""

    def __init__(self, clock, key, seconds):
        self._clock = clock
        self._key = key
        self._seconds = seconds
        self._began = {}

    def __call__(self, request):
        if request.method != "put" or not request.key.startswith(self._key):
            return
        if not request.done:
            self._began[request.key] = self._clock.seconds
            return
        end = self._began[request.key] + self._seconds
        self._clock.seconds = max(self._clock.seconds, end)


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


@pytest.fixture
def stage(pod):
    return Stage(pod)


def test_a_flush_stores_the_last_change(stage, successor):
    stage.pod.write("a", b"last")
    assert stage.end() == TerminationMessage("flushed", 1, Complete(), 0.0)
    successor.hydrate()
    assert listing(successor.root) == listing(stage.pod.root)


def test_a_flush_without_changes_reports_the_current_generation(stage):
    stage.pod.write("a")
    stage.passes.attempt(stage.pod.pass_options())
    assert stage.end().outcome == "flushed"
    assert stage.end().generation == 1


def test_a_file_that_keeps_changing_makes_the_last_generation_partial(stage, monkeypatch):
    stage.pod.write("a", b"four")
    stage.pod.write("b", b"b")
    real = file_archiver.read_small_file
    monkeypatch.setattr(
        file_archiver,
        "read_small_file",
        lambda root, seen: FileChanged("a") if seen.path == "a" else real(root, seen),
    )
    farewell = stage.end(times=ShutdownTimeouts(flush=10))
    assert farewell.outcome == "partial"
    assert farewell.missing == Partial(1, 4)
    assert farewell.seconds <= 10


def test_a_file_that_stops_changing_in_time_is_stored(stage, monkeypatch):
    stage.pod.write("a", b"four")
    real = file_archiver.read_small_file
    monkeypatch.setattr(
        file_archiver,
        "read_small_file",
        lambda root, seen: real(root, seen) if stage.pod.clock.waits else FileChanged("a"),
    )
    assert stage.end().outcome == "flushed"
    assert stage.context.status_registry.current.partial is False


def test_a_store_that_stays_away_ends_at_the_deadline_with_its_reason(stage, script):
    stage.pod.write("a")
    script.fail("get", StoreAwayError("no route to the store"), times=99)
    farewell = stage.end(times=ShutdownTimeouts(flush=10))
    assert farewell.outcome == "failed"
    assert "no route" in farewell.reason
    assert farewell.seconds <= 10
    assert stage.context.status_registry.current.reachable is False


def test_a_store_that_comes_back_in_time_gets_everything(stage, script):
    stage.pod.write("a")
    script.fail("get", StoreAwayError("no route"), times=3)
    assert stage.end().outcome == "flushed"


def test_a_fenced_pod_says_so_and_writes_nothing(stage, successor):
    stage.pod.write("a")
    successor.hydrate()
    farewell = stage.end()
    assert farewell.outcome == "fenced"
    assert "two" in farewell.reason
    assert exit_code_for_flush(farewell.outcome) is MirrorExitCode.FENCED


def test_without_a_native_sidecar_the_runner_is_waited_for(stage, successor):
    done = stage.pod.root / "done"

    def later():
        stage.pod.write(f"f{len(stage.pod.clock.waits)}")
        if len(stage.pod.clock.waits) == 4:
            done.write_bytes(b"")

    stage.pod.clock.during_sleep = later
    farewell = stage.end(RunnerFile(done), ShutdownTimeouts(runner=60, flush=20))
    assert farewell.outcome == "flushed"
    assert len(stage.pod.clock.waits) == 4
    successor.hydrate()
    assert listing(successor.root) == listing(stage.pod.root)


def test_a_runner_that_does_not_end_is_waited_for_until_its_timeout(stage):
    farewell = stage.end(
        RunnerFile(stage.pod.root / "never"), ShutdownTimeouts(runner=30, flush=20)
    )
    assert farewell.outcome == "flushed"
    assert 30 <= farewell.seconds <= 50


def test_the_deadline_counts_from_term(stage):
    stage.ending.terminate()
    first = stage.ending.terminated_at
    stage.pod.clock.sleep(5)
    stage.ending.terminate()
    assert stage.ending.terminated_at == first
    assert (
        hard_deadline(stage.ending, ShutdownPlan(NoRunner(), ShutdownTimeouts(3, 20))) == first + 23
    )


def test_a_port_that_refuses_means_that_the_runner_is_gone():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not has_runner_exited(RunnerPort(port))
    assert has_runner_exited(RunnerPort(port))


@pytest.mark.parametrize("address", ["::1", "127.0.0.2"])
def test_a_runner_is_found_on_every_address_of_the_pod(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        assert not has_runner_exited(RunnerPort(port))
    assert has_runner_exited(RunnerPort(port))


@pytest.mark.parametrize("address", ["::1", "127.0.0.1"])
def test_a_runner_is_found_where_the_kernel_shows_no_sockets(address, monkeypatch, tmp_path):
    monkeypatch.setattr(termination, "_SOCKET_TABLES", (tmp_path / "none",))
    test_a_runner_is_found_on_every_address_of_the_pod(address)


def test_a_runner_that_does_not_answer_is_not_gone(monkeypatch):
    def time_out(*_arguments):
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", time_out)
    assert not has_runner_exited(RunnerPort(1))


def test_a_pipe_as_termination_log_does_not_block_the_end(tmp_path):
    path = tmp_path / "termination"
    os.mkfifo(path)
    message = TerminationMessage("flushed", 1, Complete(), 0.0)
    assert str(path) in write_termination_message(path, message)


def test_the_termination_message_is_one_line_of_json(tmp_path):
    farewell = TerminationMessage("partial", 7, Partial(2, 30), 1.23456, "the time was over" * 500)
    path = tmp_path / "log"
    assert write_termination_message(path, farewell) == ""
    line = path.read_bytes()
    assert line.count(b"\n") == 1
    assert len(line) <= 4096
    said = json.loads(line)
    assert said.pop("reason").startswith("the time was over")
    assert said == {
        "outcome": "partial",
        "generation": 7,
        "partial": True,
        "missingFiles": 2,
        "missingBytes": 30,
        "overLimitEntries": 0,
        "seconds": 1.235,
    }


def test_a_message_that_cannot_be_written_raises_nothing(tmp_path):
    assert "no" in write_termination_message(
        tmp_path / "no" / "log", TerminationMessage("flushed", 1, Complete(), 0)
    )
    assert b'"missingFiles":0' in encode_termination_message(
        TerminationMessage("flushed", 1, Complete(), 0)
    )


def test_a_burst_is_synced_when_two_scans_see_the_same():
    tempo = SyncSchedule(interval=30)
    busy, rest = (
        ScanSummary(1, is_changed=True, seconds=0.1),
        ScanSummary(2, is_changed=True, seconds=0.1),
    )
    assert not is_due(tempo, None, busy, 3)
    assert not is_due(tempo, busy, rest, 5)
    assert is_due(tempo, rest, rest, 7)


def test_constant_changes_are_synced_at_the_interval():
    tempo = SyncSchedule(interval=30)
    assert is_due(
        tempo,
        ScanSummary(1, is_changed=True, seconds=0),
        ScanSummary(2, is_changed=True, seconds=0),
        30,
    )
    assert not is_due(tempo, None, ScanSummary(1, is_changed=False, seconds=0), 99)


def test_scans_take_a_small_share_of_the_time():
    assert next_scan_delay(SyncSchedule(30, scan_interval=2), 0.01) == 2
    assert next_scan_delay(SyncSchedule(30, scan_interval=2), 0.2) == 10
    assert next_scan_delay(SyncSchedule(30, scan_interval=2), 9) == 30


def test_an_interval_that_is_shorter_than_the_time_between_scans_is_kept():
    assert next_scan_delay(SyncSchedule(0.1, scan_interval=2), 0.01) == 0.1


def test_a_loop_continues_while_the_store_is_away_and_catches_up(stage, script):
    stage.pod.write("a")
    script.fail("get", StoreAwayError("no route"), times=3)
    loop = SyncLoop(stage.passes, stage.context, stage.ending, SyncSchedule(interval=1), TIMES)
    seen = []

    def wait(_seconds):
        facts = stage.context.status_registry.current
        seen.append((facts.reachable, facts.generation))
        stage.pod.clock.seconds += 5
        if facts.generation or len(seen) > 50:
            stage.ending.terminate()

    stage.ending.wait = stage.ending.wait_for_prestop = wait
    loop.run()
    assert (False, 0) in seen
    assert seen[-1] == (True, 1)
    assert stage.context.status_registry.current.error == ""
    assert ("pass failed", {"error": "no route", "reason": "StoreAwayError"}) in (
        stage.context.logger.events
    )


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


def cut_in_half(body):
    return body[: len(body) // 2]


@pytest.mark.parametrize(
    "damage",
    [
        cut_in_half,
        lambda _body: b"",
        lambda _body: b"<html>log in</html>",
        lambda _body: b'{"format":"reconcile-mirror/9"}\n',
        lambda _body: None,
    ],
    ids=["half", "empty", "html", "newer", "gone"],
)
@pytest.mark.parametrize("key", ["HEAD", "manifests/"])
def test_a_damaged_answer_does_not_end_a_loop(pod, memory, successor, key, damage):
    pod.write("a")
    pod.sync()
    shutil.rmtree(pod.state.path / "manifests")
    objects = memory.bucket.objects
    stored = {name: value for name, value in objects.items() if name.startswith(key)}
    for name, (body, time) in stored.items():
        damaged = damage(body)
        if damaged is None:
            del objects[name]
        else:
            objects[name] = (damaged, time)
    stage = Stage(pod)
    pod.write("b")

    def heal(number):
        if number == 5:
            assert stage.context.status_registry.current.error
            objects.update(stored)

    run_loop(stage, 10, heal)
    assert stage.context.status_registry.current.error == ""
    assert stage.end().outcome == "flushed"
    successor.hydrate()
    assert listing(successor.root) == listing(pod.root)


def test_the_first_failed_request_says_that_the_store_is_not_reachable(memory, script, monkeypatch):
    monkeypatch.setattr(wiring.LazyStore, "_connect", lambda _self: memory)
    registry, clock, seen = StatusRegistry(), wiring.InterruptibleClock(), []

    def wait(_seconds):
        seen.append(registry.current.reachable)
        return False

    monkeypatch.setattr(clock, "wait", wait)
    config = wiring.MirrorConfig(Path(), Path(), "ns/s")
    hooks = wiring.StoreHooks(on_reachable=registry.update)
    store = wiring.LazyStore(config, clock, RecordingLogger(), hooks, retry_denied=True)
    script.fail("list", StoreAwayError("no route"), times=2)
    assert list(store.list("")) == []
    assert seen == [False, False]
    assert registry.current.reachable
    script.fail("get", DeniedError("an answer"))
    with pytest.raises(MissingObjectError):
        store.get("a")
    assert seen[2:] == [True]


def test_a_defect_in_a_pass_does_not_end_a_loop(stage, successor, monkeypatch):
    stage.pod.write("a")
    original, failures = syncer.scan_workspace, iter(range(3))

    def fail_at_first(*arguments):
        if next(failures, None) is not None:
            raise KeyError("a value that may be secret")
        return original(*arguments)

    monkeypatch.setattr(syncer, "scan_workspace", fail_at_first)
    run_loop(stage, 8)
    reported = [fields for event, fields in stage.context.logger.events if event == "pass failed"]
    assert len(reported) == 3
    assert re.fullmatch(
        r"a defect of reconcile-mirror, KeyError at test_termination.py:\d+: please report it",
        reported[0]["error"],
    )
    successor.hydrate()
    assert (successor.root / "a").exists()


def test_a_defect_after_a_commit_loses_nothing(stage, successor, monkeypatch):
    monkeypatch.setattr(syncer, "build_index", lambda *_: 1 // 0)
    stage.pod.write("a")
    run_loop(stage, 4)
    monkeypatch.undo()
    stage.pod.write("b")
    assert stage.end().outcome == "flushed"
    successor.hydrate()
    assert listing(successor.root) == listing(stage.pod.root)


def test_a_runner_that_ignores_term_does_not_take_the_time_of_the_flush(stage, memory, successor):
    """TERM comes just before KILL, so a part is committed at the end of the runner's time."""
    stage.pod.state.write(stage.pod.state.shutdown_path, b"")
    times = ShutdownTimeouts(runner=60, flush=20)
    memory.bucket.fault = SlowPuts(stage.pod.clock, "packs/", seconds=15)
    for number in range(12):
        path = stage.pod.write(f"f{number:02}", os.urandom(4 << 20))
        os.utime(path, ns=(number, number))
    committed = []

    def during(_number):
        status = stage.context.status_registry.current
        committed.append((stage.pod.clock.monotonic() - 1_000, status.generation, status.partial))

    run_loop(stage, 9, during, times)
    seconds, _, is_partial = next(each for each in committed if each[1])
    assert seconds <= 60 + 20 + 10 + 15, "the pass that ran, its last request and the wait"
    assert is_partial
    stage.pod.clock.seconds += 1
    stage.end(times=times)
    assert stage.pod.clock.monotonic() - stage.ending.terminated_at < 40
    memory.bucket.fault = no_fault
    successor.hydrate()
    assert (successor.root / "f11").read_bytes() == (stage.pod.root / "f11").read_bytes()


def test_the_own_deadline_counts_from_prestop(stage):
    times = ShutdownTimeouts(runner=60, flush=20)
    plan = ShutdownPlan(NoRunner(), times)
    assert not stage.ending.is_overdue(times)
    stage.pod.state.write(stage.pod.state.shutdown_path, b"")
    assert stage.ending.prestop_received()
    first = stage.pod.clock.monotonic()
    stage.pod.clock.seconds += 60
    assert stage.ending.prestop_received()
    assert stage.ending.is_overdue(times)
    assert stage.ending.own_deadline(times) == first + 80
    assert not stage.ending.is_overdue(ShutdownTimeouts(flush=20)), "the time is not known"
    stage.ending.terminate()
    assert hard_deadline(stage.ending, plan) == first + 80
    late = ShutdownSignal(stage.pod.clock, stage.pod.state)
    assert late.prestop_received()
    stage.pod.clock.seconds += 100
    late.terminate()
    assert hard_deadline(late, plan) == stage.pod.clock.monotonic() + 1


def run_rounds(stage, rounds):
    """Run the loop for so many scans, five seconds apart, and return the status."""
    done = []

    def wait(_seconds):
        done.append(None)
        stage.pod.clock.seconds += 5
        if len(done) == rounds:
            stage.ending.terminate()

    stage.ending.wait_for_prestop = wait
    SyncLoop(stage.passes, stage.context, stage.ending, SyncSchedule(interval=1), TIMES).run()
    return stage.context.status_registry.current


def test_a_restored_workspace_that_never_changes_is_fresh(stage, successor):
    stage.pod.write("a")
    stage.passes.attempt(stage.pod.pass_options())
    successor.hydrate()
    restored = Stage(successor)
    status = run_rounds(restored, 2)
    assert (status.passes, status.files) == (0, 1)
    assert assess_freshness(status, successor.clock.steady_ns(), 60).is_fresh
    assert assess_freshness(status, successor.clock.steady_ns(), 60).commit_age == 5


def test_a_change_that_is_undone_after_a_failed_pass_leaves_no_error(stage, script):
    stage.pod.write("a")
    stage.passes.attempt(stage.pod.pass_options())
    stage.pod.write("b")
    script.fail("put", StoreAwayError("no route"), times=1)
    stage.passes.attempt(stage.pod.pass_options())
    (stage.pod.root / "b").unlink()
    status = run_rounds(stage, 1)
    assert (status.failures, status.error, status.behind_since) == (1, "", 0)


def test_after_prestop_a_loop_syncs_without_waiting_for_the_end_of_a_burst(stage):
    stage.pod.state.write(stage.pod.state.shutdown_path, b"")
    loop = SyncLoop(stage.passes, stage.context, stage.ending, SyncSchedule(), TIMES)

    def wait(_seconds):
        if stage.context.status_registry.current.passes == 3:
            stage.ending.terminate()
        stage.pod.write(f"f{stage.context.status_registry.current.passes}")

    stage.ending.wait = stage.ending.wait_for_prestop = wait
    loop.run()
    assert stage.context.status_registry.current.phase == "draining"
    assert stage.context.status_registry.current.commits == 2


def test_a_new_process_forgets_an_old_prestop(stage):
    stage.pod.state.write(stage.pod.state.shutdown_path, b"")
    assert stage.ending.prestop_received()
    stage.ending.clear_prestop()
    assert not stage.ending.prestop_received()


class ScanCounter:
    """Counts the walks of a syncer; each takes three seconds of its clock."""

    def __init__(self, clock):
        self.count = 0
        self._clock = clock
        self._scan_workspace = syncer.scan_workspace

    def scan_workspace(self, *arguments):
        self.count += 1
        self._clock.seconds += 3
        return self._scan_workspace(*arguments)


@pytest.fixture
def scans(pod, monkeypatch):
    counter = ScanCounter(pod.clock)
    monkeypatch.setattr(syncer, "scan_workspace", counter.scan_workspace)
    return counter


def test_a_commit_of_the_loop_walks_the_workspace_once(stage, scans, successor):
    """The pass continues from the scan that found it due, and nothing is lost by that."""
    loop = SyncLoop(stage.passes, stage.context, stage.ending, SyncSchedule(interval=1), TIMES)
    walks_of_rounds = []

    def wait(_seconds):
        walks_of_rounds.append(scans.count)
        scans.count = 0
        if len(walks_of_rounds) == 3:
            stage.ending.terminate()
        stage.pod.clock.seconds += 5
        stage.pod.write(f"f{len(walks_of_rounds)}")

    stage.ending.wait_for_prestop = wait
    stage.pod.write("f0")
    loop.run()
    assert walks_of_rounds == [1, 1, 1]
    assert stage.context.status_registry.current.commits == 3
    successor.hydrate()
    assert sorted(listing(successor.root)) == ["f0", "f1", "f2"]


def test_every_pass_outside_the_loop_walks_the_workspace_once(stage, scans):
    stage.pod.write("a")
    stage.passes.attempt(stage.pod.pass_options())
    assert scans.count == 1
    stage.pod.write("b")
    assert stage.end().outcome == "flushed"
    assert scans.count == 2


@pytest.mark.usefixtures("scans")
def test_a_snapshot_is_as_old_as_the_start_of_its_scan(stage):
    stage.pod.write("a")
    started = stage.pod.clock.steady_ns()
    stage.passes.attempt(stage.pod.pass_options())
    status = stage.context.status_registry.current
    assert status.committed == started
    assert status.seconds == 3


def test_a_file_that_changes_after_the_scan_is_left_to_the_next_pass(stage):
    """A pass never takes a state that its scan has not seen."""
    file = stage.pod.write("a", b"scanned")
    scanned = stage.passes.scan(stage.pod.pass_options())
    file.write_bytes(b"changed since")
    assert stage.passes.finish(scanned, stage.pod.pass_options()).archive.read_files.changing == 1
    assert stage.context.status_registry.current.behind_since
    done = stage.passes.attempt(stage.pod.pass_options())
    assert done.is_committed
    assert "a" in done.archive.tree_result.tree.entries


def test_a_directory_that_cannot_be_read_is_in_log_and_message(stage, monkeypatch):
    stage.pod.write("private/1")
    real = walk.os.scandir

    def deny(target):
        if isinstance(target, int) and Path(f"/proc/self/fd/{target}").readlink().name == "private":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(target)

    monkeypatch.setattr(walk.os, "scandir", deny)
    stage.passes.attempt(stage.pod.pass_options())
    stage.passes.attempt(stage.pod.pass_options())
    reported = [fields for event, fields in stage.context.logger.events if event == "not stored"]
    assert [(each["unreadable"], each["such_as"]) for each in reported] == [(1, ["private"])]
    assert stage.context.status_registry.current.unreadable == 1
    assert stage.context.status_registry.current.partial is True
    farewell = stage.end()
    assert farewell.outcome == "partial"
    assert farewell.missing == Partial(1, 0)
    assert farewell.reason.endswith("such as private: Permission denied")
    assert stage.pod.clock.waits == []
    assert exit_code_for_flush(farewell.outcome) is MirrorExitCode.LOST
    monkeypatch.undo()
    stage.passes.attempt(stage.pod.pass_options())
    assert stage.context.status_registry.current.unreadable == 0
