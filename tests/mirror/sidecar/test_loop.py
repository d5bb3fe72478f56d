"""The loop until TERM, with a clock that only waits move."""

import errno
import re
import shutil
from pathlib import Path

import pytest

from reconcile.mirror import wiring
from reconcile.mirror.backup import syncer
from reconcile.mirror.errors import DeniedError, MissingObjectError, StoreAwayError
from reconcile.mirror.exit_codes import MirrorExitCode, exit_code_for_flush
from reconcile.mirror.model import Partial
from reconcile.mirror.sidecar.loop import (
    ScanSummary,
    SyncLoop,
    SyncSchedule,
    is_due,
    next_scan_delay,
)
from reconcile.mirror.sidecar.status import StatusRegistry, assess_freshness
from reconcile.mirror.workspace import walk
from tests.mirror.mirror_pod import RecordingLogger, listing
from tests.mirror.sidecar.stage import TIMES, Stage, run_loop


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
        r"a defect of reconcile-mirror, KeyError at test_loop.py:\d+: please report it",
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
