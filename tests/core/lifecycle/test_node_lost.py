"""A pod alone shows that its node does not answer: the reader needs no right on nodes."""

import pytest

from reconcile.core.lifecycle.health import assess_health
from reconcile.core.lifecycle.pod_status import Phase, find_end
from reconcile.core.model import SessionState
from tests.core.lifecycle.kubelet_pods import (
    HYDRATED,
    SYNCING,
    WORKING,
    conditions,
    container,
    pod,
    terminated,
)

NOW = "2026-01-31T12:10:00Z"
TAINTED = ("True", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
UNRESPONSIVE = "Node worker-3 which was running pod one-runner is unresponsive"
MARKED = conditions(Ready="False")
"""What the node lifecycle controller makes of the conditions of a ready pod."""


def health(given, now=NOW):
    return assess_health(given, SessionState.RUNNING, now)


def deleted(at, *finalizers):
    return {"deletionTimestamp": at, "deletionGracePeriodSeconds": 90, "finalizers": [*finalizers]}


LONG_AGO = deleted("2026-01-31T12:06:30Z")
JUST_NOW = deleted("2026-01-31T12:09:30Z")


@pytest.mark.parametrize(
    "given",
    [
        pod("Unknown"),
        pod(reason="NodeLost", message=UNRESPONSIVE),
        pod(metadata=JUST_NOW, reason="NodeLost", message=UNRESPONSIVE),
        pod(conditions=conditions(Ready="Unknown")),
        pod("Pending", conditions=conditions(Ready="Unknown")),
        pod(conditions=MARKED),
        pod(metadata=JUST_NOW, conditions=conditions(Ready="False", DisruptionTarget=TAINTED)),
        pod(metadata=LONG_AGO, conditions=conditions(DisruptionTarget=TAINTED)),
        pod(metadata=LONG_AGO),
        pod("Failed", metadata=LONG_AGO),
    ],
)
def test_a_pod_whose_node_does_not_answer_says_so(given):
    found = health(given)
    assert (found.phase, found.reason) == (Phase.UNKNOWN, "NodeLost")
    assert found.remark.text.startswith("node worker-3 does not answer")
    assert find_end(given) is None


def test_a_lost_node_comes_with_what_the_control_plane_says_and_when_the_pod_was_to_be_gone():
    target = conditions(DisruptionTarget=TAINTED)
    lost = health(pod(metadata=LONG_AGO, conditions=target)).remark
    assert lost.text == (
        "node worker-3 does not answer; the pod was to be gone by 2026-01-31T12:06:30Z"
    )
    assert lost.output == TAINTED[2]
    assert health(pod(reason="NodeLost", message=UNRESPONSIVE)).remark.output == UNRESPONSIVE


def test_a_pod_that_was_never_bound_to_a_node_names_none():
    given = pod("Unknown")
    del given["spec"]["nodeName"]
    assert health(given).remark.text == "the node does not answer"


def test_a_pod_that_is_evicted_from_a_node_that_answers_is_stopping():
    found = health(pod(metadata=JUST_NOW, conditions=conditions(DisruptionTarget=TAINTED)))
    assert (found.phase, found.reason) == (Phase.STOPPING, "DeletionByTaintManager")
    assert found.remark.text == "is to be gone by 2026-01-31T12:09:30Z"
    assert found.remark.output == TAINTED[2]


@pytest.mark.parametrize("now", ["", "soon", "2026-01-31T12:07:30Z"])
def test_a_deletion_is_not_late_before_a_minute_has_passed(now):
    assert health(pod(metadata=LONG_AGO), now).phase is Phase.STOPPING


def test_a_pod_that_finalizers_keep_names_them():
    found = health(pod(metadata=deleted("2026-01-31T12:06:30Z", "example.com/a", "example.com/b")))
    assert (found.phase, found.reason) == (Phase.STOPPING, "Terminating")
    assert found.remark.text.endswith(
        "and then when these finalizers are removed: example.com/a, example.com/b"
    )


@pytest.mark.parametrize(
    "given",
    [
        conditions(Ready=("False", "ContainersNotReady"), ContainersReady="False"),
        conditions(Ready=("False", "ReadinessGatesNotReady", "corresponding condition")),
        conditions(Ready="False", ContainersReady="False"),
    ],
)
def test_a_pod_that_its_kubelet_calls_not_ready_is_not_lost(given):
    assert health(pod(conditions=given)).phase is Phase.RUNNING


def test_work_that_had_ended_before_its_node_was_lost_has_ended():
    done = container("runner", terminated(0, "Completed"))
    given = pod(containers=(HYDRATED, SYNCING, done), conditions=conditions(Ready="Unknown"))
    assert health(given).phase is Phase.COMPLETED
    found = find_end(given)
    assert found is not None
    assert found.phase is Phase.COMPLETED
    assert health(pod(containers=(HYDRATED, SYNCING, WORKING))).is_ready
