"""The node's clock differs from the store's: it is said how, and over as soon as it is mended."""

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


def test_a_pass_goes_on_when_the_clock_is_mended(session, pod):
    session.front.plan = first(3, SKEWED, lambda asked: asked.method == "PUT")
    ended = session.run("sync", pod, "--once")
    assert ended.code == MirrorExitCode.OK
    said = [event for event in ended.events if event["event"] == "store request retried"]
    assert len(said) == 3
    assert "Set the node's clock" in said[0]["error"]


def test_a_hydrate_goes_on_when_the_clock_is_mended(session, pod):
    pod.sync()
    new = session.pod("new")
    session.front.plan = first(3, SKEWED, lambda asked: asked.method == "GET")
    assert session.run("hydrate", new).code == MirrorExitCode.OK
    assert differences(pod.root, new.root) == []


def test_a_clock_that_nobody_mends_is_named_until_somebody_does(session, pod):
    session.front.plan = always(SKEWED)
    with session.start("sync", pod, *quick(pod, "--retry-timeout=0.5")) as running:
        said = running.until("pass failed")["error"]
        assert "clocks of this node and of" in said
        assert "given up after" in said
        session.front.reset()
        running.until("committed")
        running.process.terminate()
        assert running.ended().code == MirrorExitCode.OK
