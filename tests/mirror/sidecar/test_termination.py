"""The end, from TERM to the termination message, with a clock that only waits move."""

import json
import os
import socket
from pathlib import Path

import pytest

from reconcile.mirror.backup import file_archiver
from reconcile.mirror.errors import StoreAwayError
from reconcile.mirror.exit_codes import MirrorExitCode, exit_code_for_flush
from reconcile.mirror.model import Complete, Partial
from reconcile.mirror.sidecar import termination
from reconcile.mirror.sidecar.loop import (
    SyncLoop,
    SyncSchedule,
)
from reconcile.mirror.sidecar.shutdown import ShutdownPlan, hard_deadline
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
from reconcile.mirror.workspace.reader import FileChanged
from tests.mirror.memory_store import no_fault
from tests.mirror.mirror_pod import listing
from tests.mirror.sidecar.stage import TIMES, run_loop


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


FLUSHED = TerminationMessage("flushed", 1, Complete(), 0)


def _make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "not a regular file"),
        (_make_socket, "not a regular file"),
        (Path.mkdir, "Is a directory"),
        (lambda path: path.symlink_to("../target"), "a symbolic link, which is not followed"),
        (lambda path: path.symlink_to("new"), "a symbolic link, which is not followed"),
        (lambda path: path.parent.rmdir(), "No such file or directory"),
    ],
    ids=["pipe", "socket", "directory", "link", "dangling link", "no folder"],
)
def test_only_a_regular_file_gets_the_message(make, reason, tmp_path):
    (tmp_path / "target").write_bytes(b"of the agent")
    folder = tmp_path / "folder"
    folder.mkdir()
    make(folder / "log")
    assert write_termination_message(folder / "log", FLUSHED) == f"{folder / 'log'}: {reason}"
    assert (tmp_path / "target").read_bytes() == b"of the agent"
    assert not (folder / "new").exists()


def test_a_pipe_with_a_reader_gets_no_message_either(tmp_path):
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    assert "not a regular file" in write_termination_message(tmp_path / "log", FLUSHED)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_device_gets_no_message():
    assert write_termination_message(Path(os.devnull), FLUSHED) == "/dev/null: not a regular file"


def test_a_message_replaces_an_older_and_longer_one(tmp_path):
    (tmp_path / "log").write_bytes(b"x" * 9999)
    assert write_termination_message(tmp_path / "log", FLUSHED) == ""
    assert (tmp_path / "log").read_bytes() == encode_termination_message(FLUSHED)
    assert b'"missingFiles":0' in encode_termination_message(FLUSHED)


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
