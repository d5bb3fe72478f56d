"""The store is unreachable, slow, full or corrupt: the mirror reports it and catches up."""

import contextlib
import json
import os
import signal
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode
from tests.controlplane import ports, waiting
from tests.mirror.compare_trees import differences
from tests.mirror.faults import faulty_session
from tests.mirror.faults.faulty_session import quick
from tests.s3 import ceph, motoserver
from tests.s3.faults import PASS, Answer, Cut, Flip, Slow, When, always, first


@pytest.fixture
def pod(session):
    """A pod that has claimed a new session, with some work."""
    pod = session.pod("one")
    pod.hydrate()
    pod.write("work", b"work" * 1000)
    pod.write("large", bytes(5 << 20))
    return pod


def later(session):
    new = session.pod("later")
    new.hydrate()
    return new.root


def every_third(fault):
    return lambda asked: fault if asked.number % 3 == 1 else PASS


@pytest.mark.parametrize(
    "fault",
    [
        Answer(503, "SlowDown", retry_after=1),
        Answer(500, "InternalError"),
        Cut(When.BEFORE),
        Cut(When.BODY),
        Cut(When.AFTER),
    ],
    ids=str,
)
def test_temporary_failures_are_survived_by_a_pass_and_by_a_restore(session, pod, fault):
    session.front.plan = every_third(fault)
    code = session.run("sync", pod, "--once").code
    session.front.reset()
    if code != MirrorExitCode.OK:
        # The one request that is never repeated was hit twice, or its answer was falsified.
        assert code == MirrorExitCode.STORE
        assert session.run("sync", pod, "--once").code == MirrorExitCode.OK
    session.front.reset()
    session.front.plan = first(2, fault, lambda asked: asked.method == "GET")
    new = session.pod("new")
    assert session.run("hydrate", new).code == MirrorExitCode.OK
    assert differences(pod.root, new.root) == []


@pytest.mark.parametrize("fault", [Cut(When.ANSWER), Slow(0.01)], ids=str)
def test_answers_that_break_off_or_trickle_are_survived_by_a_restore(session, pod, fault):
    pod.sync()
    session.front.plan = first(3, fault, lambda asked: asked.method == "GET")
    new = session.pod("new")
    assert session.run("hydrate", new).code == MirrorExitCode.OK
    assert differences(pod.root, new.root) == []


REFUSALS = [
    (Answer(403, "RequestTimeTooSkewed"), "clock"),
    (Answer(403, "QuotaExceeded"), "space"),
    (Answer(507, "InsufficientStorage"), "space"),
    (Answer(403, "AccessDenied"), "may not"),
    (Answer(403, "InvalidAccessKeyId"), "access key"),
]


@pytest.mark.parametrize(("answer", "word"), REFUSALS, ids=str)
def test_a_refusal_is_reported_and_a_later_pass_stores_everything(session, pod, answer, word):
    session.front.plan = always(answer, lambda asked: asked.method == "PUT")
    with session.start("sync", pod, *quick(pod, "--retry-timeout=0.5")) as running:
        assert word in running.until("pass failed")["error"]
        session.front.reset()
        running.until("committed")
        running.process.terminate()
        assert running.ended().code == MirrorExitCode.OK
    assert differences(pod.root, later(session)) == []


@pytest.mark.parametrize(("answer", "word"), REFUSALS, ids=str)
def test_a_refusal_ends_a_hydrate_with_its_reason(session, pod, answer, word):
    pod.sync()
    session.front.plan = always(answer)
    ended = session.run("hydrate", session.pod("new"), "--retry-timeout=0.5")
    assert ended.code == MirrorExitCode.STORE
    assert word in ended.events[-1]["error"]


ANSWERS = [
    (Answer(403, "AccessDenied"), "the key may not s3:GetObject"),
    (Answer(400, "Odd"), "HTTP 400, Odd"),
    (Answer(500, "InternalError"), "HTTP 500, InternalError"),
    (Answer(404, "NoSuchBucket"), "there is no bucket"),
]


def reads_head(asked):
    return asked.method == "GET" and asked.path.endswith("/HEAD")


@pytest.mark.parametrize("answer", [answer for answer, _ in ANSWERS], ids=str)
def test_a_hydrate_waits_for_a_temporary_refusal_of_head(session, pod, answer):
    pod.sync()
    session.front.plan = first(2, answer, reads_head)
    new = session.pod("new")
    ended = session.run("hydrate", new)
    assert ended.code == MirrorExitCode.OK
    again = [event for event in ended.events if event["event"] == "store request retried"]
    assert [event["failures"] for event in again] == [1, 2]
    assert differences(pod.root, new.root) == []


@pytest.mark.parametrize(("answer", "words"), ANSWERS, ids=str)
def test_a_permanent_refusal_of_head_never_means_a_new_session(session, pod, answer, words):
    pod.sync()
    before = session.head()
    session.front.plan = always(answer, reads_head)
    new = session.pod("new")
    ended = session.run("hydrate", new, "--retry-timeout=0.5")
    assert ended.code == MirrorExitCode.STORE
    assert words in ended.events[-1]["error"]
    assert "given up after" in ended.events[-1]["error"]
    assert session.head() == before
    assert session.run("sync", new, "--once").code == MirrorExitCode.WORKSPACE


def test_a_claim_that_is_refused_until_a_role_has_its_rights_succeeds_then(session, pod):
    pod.sync()
    writes = lambda asked: asked.is_write_of("HEAD")  # noqa: E731
    session.front.plan = first(2, Answer(403, "AccessDenied"), writes)
    new = session.pod("new")
    assert session.run("hydrate", new).code == MirrorExitCode.OK
    assert session.head().writer.uid == new.claimant.uid


@pytest.mark.s3
def test_a_wrong_key_fails_with_its_own_message_after_the_retry_timeout(real):
    pod = real.pod("one")
    real.configure("S3_ACCESS_KEY", "nobody")
    ended = real.run("hydrate", pod, "--retry-timeout=0.5")
    assert ended.code == MirrorExitCode.STORE
    assert "does not know the access key" in ended.events[-1]["error"]
    assert "given up after" in ended.events[-1]["error"]


@pytest.mark.s3
def test_a_key_that_is_corrected_meanwhile_is_used(real):
    pod = real.pod("one")
    real.configure("S3_SECRET_KEY", "not yet")
    with real.start("hydrate", pod) as running:
        assert "secret key" in running.until("store request retried")["error"]
        real.configure("S3_SECRET_KEY", real.server.keys.secret_key)
        assert running.ended().code == MirrorExitCode.OK
    assert real.head().writer.uid == pod.claimant.uid


@pytest.mark.s3
@pytest.mark.parametrize("key", ["/packs/", "/blobs/", "/manifests/", "/HEAD"])
def test_a_wrong_checksum_never_becomes_an_object(real, key):
    pod = real.pod("one")
    pod.hydrate()
    pod.write("work", b"work" * 1000)
    pod.write("large", bytes(5 << 20))
    corrupted = lambda asked: asked.method == "PUT" and key in asked.path  # noqa: E731
    real.front.plan = first(1, Flip(request=True), corrupted)
    assert real.run("sync", pod, "--once").code in {MirrorExitCode.OK, MirrorExitCode.STORE}
    real.front.reset()
    assert real.run("sync", pod, "--once").code == MirrorExitCode.OK
    assert differences(pod.root, later(real)) == []


@pytest.mark.s3
def test_a_real_server_that_is_killed_and_restarted_gets_what_it_missed(s3_server, tmp_path):
    [port] = ports.free(1)
    own = replace(s3_server, url=f"http://127.0.0.1:{port}")
    with contextlib.ExitStack() as stack:
        first_life = stack.enter_context(ceph.gateway(s3_server, port))
        session = stack.enter_context(faulty_session.session(own, tmp_path))
        pod = session.pod("one")
        pod.hydrate()
        running = stack.enter_context(
            session.start("sync", pod, *quick(pod, "--retry-timeout=0.2"))
        )
        running.until("sync begins")
        pod.write("work", b"work")
        running.until("committed")
        os.kill(first_life.process.pid, signal.SIGKILL)
        pod.write("more", b"more")
        running.until("pass failed")
        stack.enter_context(ceph.gateway(s3_server, port))
        running.until("committed", 2)
        running.process.terminate()
        assert running.ended().code == MirrorExitCode.OK
        assert differences(pod.root, later(session)) == []


def test_a_server_that_was_unreachable_for_a_while_gets_what_it_missed(tmp_path):
    with motoserver.running() as server, faulty_session.session(server, tmp_path) as session:
        pod = session.pod("one")
        pod.hydrate()
        with session.start("sync", pod, *quick(pod, "--retry-timeout=0.2")) as running:
            running.until("sync begins")
            pod.write("work", b"work")
            running.until("committed")
            behind = session.front.behind
            session.front.behind = ("127.0.0.1", 9)
            pod.write("more", b"more")
            running.until("pass failed")
            session.front.behind = behind
            running.until("committed", 2)
            running.process.terminate()
            assert running.ended().code == MirrorExitCode.OK
        assert differences(pod.root, later(session)) == []


def ask(port, path):
    """Status code and body of a response."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_while_the_store_is_away_metric_readiness_and_log_say_so_and_then_it_catches_up(
    session, pod
):
    [port] = ports.free(1)
    options = quick(pod, "--retry-timeout=0.2", f"--port={port}", "--stale-after=0")
    with session.start("sync", pod, *options) as running:
        running.until("committed")
        waiting.until("readiness", lambda: ask(port, "/readyz")[0] == 200)
        session.front.plan = always(Cut(When.BEFORE))
        pod.write("more", b"m")
        reason = running.until("pass failed")["error"]
        status, body = ask(port, "/readyz")
        assert status == 503
        detail = json.loads(body)
        assert detail["storeReachable"] is False
        assert reason == detail["error"]
        assert "reconcile_mirror_store_reachable 0.0" in ask(port, "/metrics")[1]
        assert "reconcile_mirror_fresh 0.0" in ask(port, "/metrics")[1]
        assert ask(port, "/healthz")[0] == 200
        session.front.reset()
        running.until("committed", 2)
        waiting.until("readiness", lambda: ask(port, "/readyz")[0] == 200)
        assert "reconcile_mirror_store_reachable 1.0" in ask(port, "/metrics")[1]
        running.process.terminate()
        assert running.ended().code == MirrorExitCode.OK
    assert differences(pod.root, later(session)) == []
