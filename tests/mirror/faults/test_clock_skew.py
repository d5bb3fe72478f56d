"""The node's clock differs from the store's: the difference is reported until it is corrected."""

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode
from tests.mirror.compare_trees import differences
from tests.mirror.faults.faulty_session import quick
from tests.s3.faults import Answer, always, first

SKEWED = Answer(403, "RequestTimeTooSkewed")


@pytest.fixture
def pod(session):
    one = session.pod("one")
    one.hydrate()
    one.write("work", b"work")
    return one


def test_a_pass_continues_when_the_clock_is_corrected(session, pod):
    session.front.plan = first(3, SKEWED, lambda asked: asked.method == "PUT")
    ended = session.run("sync", pod, "--once")
    assert ended.code == MirrorExitCode.OK
    said = [event for event in ended.events if event["event"] == "store request retried"]
    assert len(said) == 3
    assert "Set the node's clock" in said[0]["error"]


def test_a_hydrate_continues_when_the_clock_is_corrected(session, pod):
    pod.sync()
    new = session.pod("new")
    session.front.plan = first(3, SKEWED, lambda asked: asked.method == "GET")
    assert session.run("hydrate", new).code == MirrorExitCode.OK
    assert differences(pod.root, new.root) == []


def test_a_wrong_clock_is_reported_until_it_is_corrected(session, pod):
    session.front.plan = always(SKEWED)
    with session.start("sync", pod, *quick(pod, "--retry-timeout=0.5")) as running:
        said = running.until("pass failed")["error"]
        assert "clocks of this node and of" in said
        assert "given up after" in said
        session.front.reset()
        running.until("committed")
        running.process.terminate()
        assert running.ended().code == MirrorExitCode.OK
