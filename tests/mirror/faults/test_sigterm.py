"""TERM during anything: the flush follows, ends by the program's own clock, and says how."""

import json
import os
import signal
import threading

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode
from tests.mirror.compare_trees import differences
from tests.mirror.faults.faulty_session import meanwhile, quick
from tests.s3.faults import PASS, Hang, When

MANY = 30_000
FLUSH = 5


def message(pod):
    """The termination message."""
    return json.loads((pod.root.parent / "termination").read_bytes())


def fill(root, count):
    for number in range(count // 500):
        folder = root / f"d{number}"
        folder.mkdir()
        at = os.open(folder, os.O_RDONLY)
        for name in range(499):
            os.close(os.open(f"f{name}", os.O_CREAT, dir_fd=at))
        os.close(at)


def assert_in_order(ended):
    """TERM was heard and the flush began, each once, then all ended.

    The first two are said by two threads, of which either may come first to the log.
    """
    said = {"end asked for", "flush begins", "ended"}
    *begun, last = [name for name in ended.names() if name in said]
    assert sorted(begun) == ["end asked for", "flush begins"]
    assert last == "ended"


def test_term_while_many_files_are_walked_or_read_ends_in_a_flush(session):
    pod = session.pod("one")
    pod.hydrate()
    fill(pod.root, MANY)
    with session.start("sync", pod, *quick(pod, "--flush-seconds=120")) as running:
        running.until("sync begins")
        running.process.terminate()
        ended = running.ended()
    assert ended.code == MirrorExitCode.OK
    assert_in_order(ended)
    assert message(pod)["outcome"] == "flushed"
    assert message(pod)["seconds"] <= 120
    later = session.pod("later")
    assert later.hydrate().files == 0
    assert sum(len(files) for _, _, files in os.walk(later.root)) == MANY // 500 * 499


@pytest.mark.parametrize("key", ["/packs/", "/blobs/", "/manifests/", "/HEAD"])
@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
def test_term_during_any_request_still_stores_everything(session, key, when):
    pod = session.pod("one")
    pod.hydrate()
    pod.write("small", b"s")
    pod.write("large", os.urandom(5 << 20))
    heard = threading.Event()

    def term():
        running.process.terminate()
        assert heard.wait(60)

    with session.start("sync", pod, *quick(pod)) as running:
        session.front.plan = meanwhile(when, term, of=key, method="PUT")
        running.until("end asked for")
        heard.set()
        ended = running.ended()
    assert ended.code == MirrorExitCode.OK
    assert_in_order(ended)
    assert differences(pod.root, _later(session)) == []


@pytest.mark.parametrize("key", ["/packs/", "/manifests/", "/HEAD"])
def test_a_request_that_hangs_does_not_delay_the_end_beyond_the_deadline(session, key):
    pod = session.pod("one")
    pod.hydrate()
    pod.write("small", b"s")
    hanging = threading.Event()

    def plan(asked):
        if asked.method == "PUT" and key in asked.path:
            hanging.set()
            return Hang()
        return PASS

    session.front.plan = plan
    with session.start("sync", pod, *quick(pod, f"--flush-seconds={FLUSH}")) as running:
        assert hanging.wait(60)
        running.process.terminate()
        ended = running.ended()
    assert ended.code == MirrorExitCode.LOST
    said = message(pod)
    assert said["outcome"] in {"late", "failed", "partial"}
    # By its own clock; half a second is what its worker gets to say so by itself.
    assert said["seconds"] <= FLUSH + 2


def test_term_while_the_program_writes_its_log_is_handled(session):
    """The handler logs too: it must wait for nothing that the main thread holds."""
    pod = session.pod("one")
    pod.hydrate()
    for _ in range(5):
        with session.start("sync", pod, *quick(pod)) as running:
            running.until("sync begins")
            running.process.terminate()
            assert_in_order(running.ended())


def test_a_second_term_changes_nothing(session):
    pod = session.pod("one")
    pod.hydrate()
    pod.write("small", b"s")
    session.front.latency = 0.05
    with session.start("sync", pod, *quick(pod)) as running:
        running.until("sync begins")
        running.process.terminate()
        running.until("end asked for")
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGINT)
        ended = running.ended()
    assert ended.code == MirrorExitCode.OK
    assert message(pod)["outcome"] == "flushed"
    assert differences(pod.root, _later(session)) == []


@pytest.mark.parametrize("end", ["prestop", "TERM"])
def test_throttled_uploads_are_sent_at_once_when_the_pod_ends(session, end):
    """At this rate it would take four minutes, and the deadline is sooner."""
    pod = session.pod("one")
    pod.hydrate()
    pod.write("large", os.urandom(24 << 20))
    sent = threading.Event()
    session.front.plan = meanwhile(When.AFTER, sent.set, of="/blobs/", method="PUT")
    options = quick(pod, "--bandwidth=100kB", "--flush-seconds=60")
    with session.start("sync", pod, *options) as running:
        assert sent.wait(60)
        assert session.head().generation.number == 0
        if end == "prestop":
            pod.state.write(pod.state.shutdown_path, b"")
            running.until("committed")
        running.process.terminate()
        ended = running.ended()
    assert ended.code == MirrorExitCode.OK
    assert_in_order(ended)
    assert message(pod)["outcome"] == "flushed"
    assert differences(pod.root, _later(session)) == []


def test_term_ends_a_throttled_hydrate(session):
    pod = session.pod("one")
    pod.hydrate()
    pod.write("large", os.urandom(24 << 20))
    pod.sync()
    new = session.pod("new")
    got = threading.Event()
    session.front.plan = meanwhile(When.AFTER, got.set, of="/blobs/", method="GET")
    with session.start("hydrate", new, "--bandwidth=100kB", "--transfers=1") as running:
        assert got.wait(60)
        running.process.terminate()
        ended = running.ended()
    assert ended.code == MirrorExitCode.TERMINATED
    assert session.run("hydrate", new).code == MirrorExitCode.OK
    assert differences(pod.root, new.root) == []


@pytest.mark.parametrize("key", ["/HEAD", "/manifests/", "/packs/"])
def test_term_during_hydrate_ends_it_and_the_next_start_completes_it(session, key):
    pod = session.pod("one")
    pod.hydrate()
    pod.write("src/small", b"s")
    pod.sync()
    new = session.pod("new")
    reached, over = threading.Event(), threading.Event()

    def term():
        reached.set()
        over.wait(60)

    session.front.plan = meanwhile(When.AFTER, term, of=key, method="GET")
    with session.start("hydrate", new) as running:
        assert reached.wait(60)
        running.process.terminate()
        ended = running.ended()
        over.set()
    assert ended.code == MirrorExitCode.TERMINATED
    assert "Traceback" not in ended.said
    session.front.reset()
    assert session.run("sync", new, "--once").code == MirrorExitCode.WORKSPACE
    assert session.run("hydrate", new).code == MirrorExitCode.OK
    assert differences(pod.root, new.root) == []


def _later(session):
    later = session.pod("later")
    later.hydrate()
    return later.root
