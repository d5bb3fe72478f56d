"""The simulated node: the status of pods over time."""

from dataclasses import replace
from typing import Any

import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.core.errors import ConflictError, InvalidError, NotFoundError
from reconcile.core.fields.managed_fields import iter_managed_fields
from tests.builders import kind_of, ref_of_object
from tests.contracts.bodies import OURS, POD, config_map, exists, owner, pod, uid

DAY = 24 * 3600


@pytest.fixture
def simulated(settings):
    """A node that runs by itself, as with a state file."""
    return EmbeddedCluster(settings=replace(settings, auto_tick=True))


def phase(cluster):
    return cluster.get(POD, "n", "one")["status"]["phase"]


def container(cluster):
    return cluster.get(POD, "n", "one")["status"]["containerStatuses"][0]


def test_without_a_tick_a_pod_stays_pending(cluster):
    applied = cluster.apply(pod("n"), OURS)
    assert phase(cluster) == "Pending"
    assert "nodeName" not in applied["spec"]


def test_with_a_tick_a_pod_runs_and_is_ready(cluster, clock):
    cluster.apply(pod("n", initContainers=[{"name": "first", "image": "first:1"}]), OURS)
    clock.seconds += 5
    cluster.tick()
    running = cluster.get(POD, "n", "one")
    status = running["status"]
    conditions = {each["type"]: each["status"] for each in status["conditions"]}
    assert running["spec"]["nodeName"]
    assert status["phase"] == "Running"
    assert status["startTime"] == clock.now()
    assert conditions["Ready"] == "True"
    assert status["podIP"] == status["podIPs"][0]["ip"]
    assert container(cluster)["state"] == {"running": {"startedAt": clock.now()}}
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


def test_a_native_sidecar_keeps_running(cluster):
    sidecar = {"name": "mirror", "image": "mirror:1", "restartPolicy": "Always"}
    cluster.apply(pod("n", initContainers=[sidecar]), OURS)
    cluster.tick()
    status = cluster.get(POD, "n", "one")["status"]["initContainerStatuses"][0]
    assert "running" in status["state"]


def test_a_native_sidecar_restarts_for_another_image_and_ends_with_the_pod(cluster):
    def declared(image):
        first = {"name": "hydrate", "image": image}
        sidecar = {"name": "mirror", "image": image, "restartPolicy": "Always"}
        return pod("n", restartPolicy="Never", initContainers=[first, sidecar])

    def statuses():
        return cluster.get(POD, "n", "one")["status"]["initContainerStatuses"]

    applied = cluster.apply(declared("mirror:1"), OURS)
    cluster.tick()
    cluster.apply(declared("mirror:2"), OURS)
    cluster.tick(60)
    hydrate, mirror = statuses()
    assert (mirror["image"], mirror["restartCount"]) == ("mirror:2", 1)
    assert hydrate["restartCount"] == container(cluster)["restartCount"] == 0
    cluster.finish(ref_of_object(applied), 3)
    hydrate, mirror = statuses()
    assert mirror["state"]["terminated"]["exitCode"] == 0
    assert hydrate["state"]["terminated"]["reason"] == "Completed"
    assert phase(cluster) == "Failed"


def test_an_init_container_is_started_again_always_or_not_at_all(cluster):
    odd = {"name": "mirror", "image": "mirror:1", "restartPolicy": "OnFailure"}
    with pytest.raises(InvalidError) as refused:
        cluster.apply(pod("n", initContainers=[odd]), OURS)
    assert refused.value.fields == ("spec.initContainers[0].restartPolicy",)


def test_a_native_sidecar_may_be_probed(cluster):
    probe = {"tcpSocket": {"port": 80}}
    sidecar = {
        "name": "mirror",
        "image": "mirror:1",
        "restartPolicy": "Always",
        "startupProbe": probe,
        "lifecycle": {"preStop": {"exec": {"command": ["true"]}}},
    }
    made = cluster.apply(pod("n", initContainers=[sidecar]), OURS)
    assert made["spec"]["initContainers"][0]["startupProbe"]["failureThreshold"] == 3


def test_what_the_kubelet_reports_is_its_own_and_a_subresource(cluster):
    cluster.apply(pod("n"), OURS)
    cluster.tick()
    running = cluster.get(POD, "n", "one")
    reporters = [each for each in iter_managed_fields(running) if each.subresource]
    assert [(each.manager, each.subresource) for each in reporters] == [("kubelet", "status")]
    assert reporters[0].fields.keys() == {"f:status"}
    assert cluster.apply(pod("n"), OURS) == running


def test_a_node_that_runs_by_itself_needs_no_tick(simulated):
    simulated.apply(pod("n"), OURS)
    assert phase(simulated) == "Running"


@pytest.mark.parametrize(
    ("policy", "exit_code", "expected"),
    [
        ("Never", 0, "Succeeded"),
        ("Never", 3, "Failed"),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 3, "Running"),
        ("Always", 0, "Running"),
    ],
)
def test_a_pod_that_ends_does_what_its_restart_policy_says(cluster, policy, exit_code, expected):
    applied = cluster.apply(pod("n", restartPolicy=policy), OURS)
    cluster.tick()
    cluster.finish(ref_of_object(applied), exit_code)
    status = container(cluster)
    ended = status["state"] if expected != "Running" else status["lastState"]
    assert phase(cluster) == expected
    assert status["restartCount"] == int(expected == "Running")
    assert ended["terminated"]["exitCode"] == exit_code
    assert ended["terminated"]["reason"] == ("Error" if exit_code else "Completed")


def test_only_a_running_pod_can_end(cluster):
    applied = cluster.apply(pod("n"), OURS)
    with pytest.raises(ConflictError, match="Pending"):
        cluster.finish(ref_of_object(applied), 0)
    with pytest.raises(NotFoundError, match="absent"):
        cluster.finish(
            ref_of_object(applied | {"metadata": {"name": "absent", "namespace": "n"}}), 0
        )


def test_an_ended_pod_stays_as_it_is(cluster):
    applied = cluster.apply(pod("n", restartPolicy="Never"), OURS)
    cluster.tick()
    cluster.finish(ref_of_object(applied), 0)
    ended = cluster.get(POD, "n", "one")
    cluster.tick(DAY)
    assert cluster.get(POD, "n", "one") == ended


def test_another_image_restarts_its_container_alone(cluster):
    cluster.apply(pod("n"), OURS)
    cluster.tick()
    cluster.apply(pod("n", {"image": "registry.example/runner:2"}), OURS)
    cluster.tick(60)
    status = container(cluster)
    assert status["restartCount"] == 1
    assert status["image"] == "registry.example/runner:2"
    assert "terminated" in status["lastState"]
    cluster.tick(60)
    assert container(cluster) == status


def test_a_deadline_ends_a_pod_and_not_before(cluster):
    cluster.apply(pod("n", activeDeadlineSeconds=100, restartPolicy="Never"), OURS)
    cluster.tick()
    cluster.tick(99)
    assert phase(cluster) == "Running"
    cluster.tick(1)
    status = cluster.get(POD, "n", "one")["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
    assert container(cluster)["state"]["terminated"]["exitCode"] == 137


def test_a_shorter_deadline_ends_it_sooner(simulated, clock):
    simulated.apply(pod("n", activeDeadlineSeconds=100), OURS)
    simulated.apply(pod("n", activeDeadlineSeconds=10), OURS)
    clock.seconds += 10
    assert phase(simulated) == "Failed"


def test_a_running_pod_is_gone_as_soon_as_it_has_ended(cluster):
    applied = cluster.apply(pod("n"), OURS)
    cluster.tick()
    cluster.delete(POD, ref_of_object(applied), uid(applied))
    assert "deletionTimestamp" in cluster.get(POD, "n", "one")["metadata"]
    cluster.tick()
    assert not exists(cluster, applied)


@pytest.mark.parametrize(("exit_s", "grace", "gone_after"), [(20, 30, 20), (600, 30, 30)])
def test_a_pod_takes_its_time_to_end_but_no_more_than_its_grace(
    settings, exit_s, grace, gone_after
):
    cluster = EmbeddedCluster(settings=replace(settings, auto_tick=True, exit_seconds=exit_s))
    applied = cluster.apply(pod("n", terminationGracePeriodSeconds=grace), OURS)
    cluster.delete(POD, ref_of_object(applied), uid(applied))
    cluster.tick(gone_after - 1)
    assert exists(cluster, applied)
    cluster.tick(1)
    assert not exists(cluster, applied)


def test_a_pod_without_grace_or_that_has_ended_goes_at_once(cluster):
    specs: dict[str, dict[str, Any]] = {"a": {"terminationGracePeriodSeconds": 0}, "b": {}}
    for name, spec in specs.items():
        body = pod("n", restartPolicy="Never", **spec)
        body["metadata"]["name"] = name
        applied = cluster.apply(body, OURS)
        cluster.tick()
        if name == "b":
            cluster.finish(ref_of_object(applied), 0)
        cluster.delete(POD, ref_of_object(applied), uid(applied))
        assert not exists(cluster, applied)


def test_a_pod_with_a_finalizer_waits_for_it(cluster):
    body = pod("n")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    applied = cluster.apply(body, OURS)
    cluster.tick()
    cluster.delete(POD, ref_of_object(applied), uid(applied))
    cluster.tick(DAY)
    assert exists(cluster, applied)


def test_a_pod_whose_owner_goes_has_its_grace_too(cluster):
    record = cluster.apply(config_map("n", "record"), OURS)
    body = pod("n")
    body["metadata"]["ownerReferences"] = [owner(record)]
    applied = cluster.apply(body, OURS)
    cluster.tick()
    cluster.delete(kind_of(record), ref_of_object(record), uid(record))
    assert "deletionTimestamp" in cluster.get(POD, "n", "one")["metadata"]
    cluster.tick()
    assert not exists(cluster, applied)
