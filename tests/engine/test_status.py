"""What the sessions are doing, from Records and pods."""

import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.core.changes import Status
from reconcile.core.errors import ForbiddenError, UnavailableError
from reconcile.core.lifecycle.containers import Remark
from reconcile.core.lifecycle.pod_status import Phase
from reconcile.core.model import LABEL_INSTALLATION, Policy, SessionState
from reconcile.core.report.status import NextStep
from reconcile.engine.status import read_status
from tests.builders import desired, ref_of
from tests.engine.fakes import FlakyCluster, Times, always
from tests.engine.installation import settled
from tests.session_files import OTHER_POD


def rows(world, *namespaces, installation="default"):
    of = desired(policy=Policy(installation=installation))
    result = read_status(world.seen, world.clock, of, namespaces or ("team-a",))
    assert not result.problems
    return result.rows


def test_every_session_has_a_row_in_order():
    world = settled("two", "one")
    world.add("three", namespace="team-b")
    world.apply()
    found = rows(world, "team-b", "team-a")
    assert [str(row.session) for row in found] == ["team-a/one", "team-a/two", "team-b/three"]


def test_a_running_session_says_what_it_was_made_from():
    world = settled()
    world.clock.sleep(90)
    (row,) = rows(world)
    assert (row.state, row.phase, row.age) == (SessionState.RUNNING, Phase.RUNNING, 90)
    assert row.restarts == 0
    assert row.next_step is NextStep.NONE
    assert row.revision == "r1"
    assert row.digest == world.desired().sessions[0].session.digest
    assert row.held == ()


def test_a_stopped_session_is_stopped():
    world = settled().add("one", "state: Stopped")
    world.apply()
    (row,) = rows(world)
    assert (row.state, row.phase) == (SessionState.STOPPED, Phase.STOPPED)


def test_a_session_without_its_pod_waits_for_it():
    world = settled()
    world.remove("Pod", "one-runner")
    (row,) = rows(world)
    assert (row.state, row.phase, row.reason) == (SessionState.RUNNING, Phase.PENDING, "NoPod")


def test_a_failed_pod_says_why():
    world = settled()
    world.cluster.finish(ref_of("Pod", "one-runner"), 3)
    (row,) = rows(world)
    assert row.phase is Phase.FAILED
    assert row.remarks[0] == Remark("container runner ended with exit code 3")
    assert row.next_step is NextStep.START_AGAIN


def test_held_changes_and_failures_are_shown():
    world = settled().add("one", OTHER_POD.replace("work", "changed"))
    no = ForbiddenError("no such right")
    world.apply(Times(no, "apply", name="one-inputs", times=always))
    (row,) = rows(world)
    assert row.held == ("Replace Pod team-a/one-runner: RUNNING_WORK",)
    assert row.remarks[0] == Remark("the last pass failed", "no such right")


@pytest.mark.parametrize(
    ("path", "value"), [("/data/status", "{"), ("/data", {}), ("/data/state", "Odd")]
)
def test_a_damaged_record_is_shown_as_far_as_possible(path, value):
    world = settled()
    world.edit("ConfigMap", "session-one", {"op": "replace", "path": path, "value": value})
    (row,) = rows(world)
    assert (row.state, row.phase) == (SessionState.RUNNING, Phase.RUNNING)


def record(**metadata):
    """A Record as a server of another make might show it."""
    metadata = {
        "name": "session-one",
        "namespace": "team-a",
        "labels": {LABEL_INSTALLATION: "default", "reconcile.ambient-code.io/session": "one"},
        **metadata,
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


class Shown(EmbeddedCluster):
    """A cluster that shows these ConfigMaps and no pods."""

    def __init__(self, *bodies):
        super().__init__()
        self._bodies = bodies

    def list(self, kind, _namespace, _labels):
        yield from self._bodies if kind.name == "ConfigMap" else ()


@pytest.mark.parametrize("metadata", [{}, {"creationTimestamp": "yesterday"}])
def test_an_age_that_is_not_known_is_negative(metadata):
    world = settled()
    shown = Shown(record(**metadata))
    (row,) = read_status(shown, world.clock, desired(), ["team-a"]).rows
    assert row.record_age < 0


def test_the_age_of_a_session_is_that_of_its_pod_and_the_record_has_its_own():
    world = settled()
    world.clock.sleep(3600)
    world.remove("Pod", "one-runner")
    (row,) = rows(world)
    assert (row.age, row.record_age) == (-1, 3600)
    world.apply()
    world.clock.sleep(60)
    (row,) = rows(world)
    assert (row.age, row.record_age) == (60, 3660)


def status_patch(**status):
    return {"op": "add", "path": "/status", "value": status}


def test_an_evicted_pod_goes_on_in_a_new_one_when_it_is_deleted():
    world = settled()
    message = 'Usage of EmptyDir volume "workspace" exceeds the limit "10Gi". '
    evicted = status_patch(phase="Failed", reason="Evicted", message=message)
    world.edit("Pod", "one-runner", evicted)
    (row,) = rows(world)
    assert (row.phase, row.reason, row.next_step) == (
        Phase.FAILED,
        "Evicted",
        NextStep.DELETE_POD,
    )
    assert row.remarks[0] == Remark("", message)
    world.remove("Pod", "one-runner")
    assert "Pod team-a/one-runner" in world.apply().of(Status.CREATED)


def test_a_pod_whose_runner_never_started_is_replaced_by_the_next_pass():
    world = settled()
    ended = {"terminated": {"exitCode": 4, "reason": "Error", "message": "no such bucket"}}
    waiting = {"waiting": {"reason": "PodInitializing"}}
    failed = status_patch(
        phase="Failed",
        initContainerStatuses=[{"name": "hydrate", "state": ended}],
        containerStatuses=[{"name": "runner", "state": waiting}],
    )
    world.edit("Pod", "one-runner", failed)
    (row,) = rows(world)
    assert (row.phase, row.next_step) == (Phase.FAILED, NextStep.RETRY)
    assert row.remarks == (
        Remark("init container hydrate ended with exit code 4", "no such bucket"),
    )
    assert "Pod team-a/one-runner" in world.apply().of(Status.REPLACED)


def test_a_session_whose_workspace_could_not_be_prepared_is_tried_again():
    world = settled()
    message = '{"repositories":[{"name":"shop","state":"failed","reason":"no such branch"}]}'
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": message}}
    failed = status_patch(
        phase="Failed",
        initContainerStatuses=[{"name": "prepare", "state": ended}],
        containerStatuses=[{"name": "runner", "state": {"waiting": {"reason": "PodInitializing"}}}],
    )
    world.edit("Pod", "one-runner", failed)
    (row,) = rows(world)
    assert (row.phase, row.reason) == (Phase.FAILED, "PrepareFailed")
    assert row.next_step is NextStep.RETRY
    [remark] = row.remarks
    assert remark.text.startswith("the workspace could not be prepared: ")
    assert remark.output == "repository shop: no such branch"
    assert "Pod team-a/one-runner" in world.apply().of(Status.REPLACED)


def test_the_end_of_the_bridge_is_said_once():
    world = settled()
    message = '{"ended":"run-failed","message":"no credit"}'
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "message": message}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    bridge = {"name": "bridge", "state": waiting, "lastState": ended, "restartCount": 3}
    world.edit("Pod", "one-runner", status_patch(phase="Running", initContainerStatuses=[bridge]))
    (row,) = rows(world)
    assert (row.phase, row.reason) == (Phase.RUNNING, "RunFailed")
    assert row.remarks == (Remark("the run failed", "no credit"),)


def test_a_session_on_a_lost_node_goes_on_with_the_node_or_without_it():
    world = settled()
    world.edit("Pod", "one-runner", status_patch(phase="Unknown"))
    (row,) = rows(world)
    assert (row.phase, row.reason, row.next_step) == (
        Phase.UNKNOWN,
        "NodeLost",
        NextStep.NODE,
    )


def test_a_stopped_session_whose_pod_is_still_there_has_no_next_step():
    world = settled()
    world.edit("ConfigMap", "session-one", {"op": "add", "path": "/data/state", "value": "Stopped"})
    world.cluster.finish(ref_of("Pod", "one-runner"), 3)
    (row,) = rows(world)
    assert (row.phase, row.next_step) == (Phase.FAILED, NextStep.NONE)


def test_the_secrets_of_live_pods_are_learned():
    world = settled()
    learned = []
    read_status(world.cluster, world.clock, world.desired(), ["team-a"], learned.append)
    assert [pod["metadata"]["name"] for pod in learned] == ["one-runner"]


def test_other_config_maps_have_no_row():
    world = settled()
    others = [record(name="one-inputs"), record(labels=None), record(name="session-two")]
    assert read_status(Shown(*others), world.clock, desired(), ["team-a"]).rows == ()


def test_other_installations_are_not_shown():
    assert rows(settled(), installation="second") == ()


def spread():
    """Sessions in three namespaces."""
    world = settled()
    world.add("two", namespace="team-b").add("three", namespace="team-c")
    world.apply()
    return world


@pytest.mark.parametrize("kind", ["Pod", "ConfigMap"])
def test_a_namespace_that_cannot_be_read_hides_no_other(kind):
    world = spread()
    fault = Times(ForbiddenError("not allowed"), "list", kind, namespace="team-b")
    cluster = FlakyCluster(world.cluster, fault)
    result = read_status(cluster, world.clock, world.desired(), ["team-c", "team-b", "team-a"])
    assert [str(row.session) for row in result.rows] == ["team-a/one", "team-c/three"]
    [problem] = result.problems
    assert str(problem) == "team-b: could not be read: not allowed"


def test_a_server_that_does_not_answer_is_waited_for_once():
    world = spread()
    cluster = FlakyCluster(world.cluster, Times(UnavailableError("no answer"), "list", times=1))
    result = read_status(cluster, world.clock, world.desired(), ["team-a", "team-b"])
    assert result.rows == ()
    assert [problem.path for problem in result.problems] == ["team-a", "team-b"]
    assert len(cluster.log) == 1


def test_what_is_declared_and_was_never_applied_has_a_row():
    world = settled().add("new").add("idle", "state: Stopped").add("far", namespace="team-b")
    result = read_status(world.seen, world.clock, world.desired(), ["team-a"])
    assert [(row.session.name, row.phase, row.reason) for row in result.rows] == [
        ("idle", Phase.PENDING, "NotApplied"),
        ("new", Phase.PENDING, "NotApplied"),
        ("one", Phase.RUNNING, ""),
    ]
    assert result.rows[0].state is SessionState.STOPPED
