"""What a dry run answers, compared with what was declared: only what people must know."""

import pytest

from reconcile.core.changes import ABSENT
from reconcile.core.model import Kind, ObjectRef
from reconcile.core.plan.dry_run import (
    AcceptedObject,
    AdmissionChange,
    AlteredObject,
    compare_dry_run,
    compare_dry_run_of_new,
)

POD = Kind("v1", "Pod")
CRON = Kind("batch/v1", "CronJob")
REF = ObjectRef("", "Pod", "team-a", "one")


def body(container=None, metadata=None, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "namespace": "team-a", **(metadata or {})},
        "spec": {"containers": [{"name": "runner", "image": "i:1", **(container or {})}], **spec},
    }


def answered(container=None, metadata=None, **spec):
    """The same with what every server adds."""
    ours = {"terminationMessagePath": "/dev/log", "imagePullPolicy": "Always", **(container or {})}
    found = body(ours, {"uid": "u", "resourceVersion": "1", **(metadata or {})}, **spec)
    return {**found, "status": {"phase": "Pending"}}


def test_defaults_of_the_server_are_not_an_alteration():
    assert compare_dry_run_of_new(POD, REF, body(), answered()) == AcceptedObject(REF)
    assert compare_dry_run(POD, REF, body(), answered()) == AcceptedObject(REF)


@pytest.mark.parametrize("judge", [compare_dry_run, compare_dry_run_of_new])
def test_a_declared_field_that_comes_back_different_is_reported_with_both_values(judge):
    answer = answered({"image": "mirror/i:1"}, priorityClassName="high")
    declared = body(priorityClassName="low")
    assert judge(POD, REF, declared, answer) == AlteredObject(
        REF,
        (
            AdmissionChange("spec.containers[runner].image", "i:1", "mirror/i:1"),
            AdmissionChange("spec.priorityClassName", "low", "high"),
        ),
    )


def test_a_declared_field_that_is_removed_is_reported():
    assert compare_dry_run(POD, REF, body(hostNetwork=True), answered()) == AlteredObject(
        REF, (AdmissionChange("spec.hostNetwork", declared=True, admitted=ABSENT),)
    )


def test_a_field_that_our_manager_no_longer_declares_is_not_an_alteration():
    ours = {
        "manager": "reconcile",
        "operation": "Apply",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:hostNetwork": {}}},
    }
    answer = answered(metadata={"managedFields": [ours]}, hostNetwork=True)
    assert compare_dry_run(POD, REF, body(), answer) == AcceptedObject(REF)


def test_equal_quantities_and_another_order_are_not_an_alteration():
    declared = body({"resources": {"limits": {"cpu": "1000m"}}, "env": [{"name": "A"}]})
    answer = answered({"resources": {"limits": {"cpu": "1"}}, "env": [{"name": "A"}]})
    assert compare_dry_run_of_new(POD, REF, declared, answer) == AcceptedObject(REF)


def test_an_injected_container_is_reported_by_its_image():
    sidecar = {"name": "proxy", "image": "mesh:2"}
    answer = answered(initContainers=[{"name": "first", "image": "mesh:1"}])
    answer["spec"]["containers"].append(sidecar)
    assert compare_dry_run_of_new(POD, REF, body(), answer) == AlteredObject(
        REF,
        (
            AdmissionChange("spec.initContainers[first].image", ABSENT, "mesh:1"),
            AdmissionChange("spec.containers[proxy].image", ABSENT, "mesh:2"),
        ),
    )


def test_injected_labels_annotations_and_variables_are_reported():
    entry = {"name": "ROLE", "value": "r"}
    metadata = {"labels": {"a": "b"}, "annotations": {"c.d/e": "f"}}
    answer = answered({"env": [{"name": "A", "value": "1"}, entry]}, metadata)
    declared = body({"env": [{"name": "A", "value": "1"}]})
    assert compare_dry_run_of_new(POD, REF, declared, answer) == AlteredObject(
        REF,
        (
            AdmissionChange("metadata.labels.a", ABSENT, "b"),
            AdmissionChange("metadata.annotations[c.d/e]", ABSENT, "f"),
            AdmissionChange("spec.containers[runner].env[ROLE]", ABSENT, entry),
        ),
    )


def test_what_was_there_before_a_patch_was_not_added_by_admission():
    answer = answered({"env": [{"name": "A", "value": "1"}]}, {"labels": {"a": "b"}})
    assert compare_dry_run(POD, REF, body(), answer) == AcceptedObject(REF)


def test_annotations_that_the_server_derives_from_a_pod_are_not_reported():
    names = (
        "seccomp.security.alpha.kubernetes.io/pod",
        "container.seccomp.security.alpha.kubernetes.io/runner",
        "container.apparmor.security.beta.kubernetes.io/runner",
    )
    answer = answered(metadata={"annotations": dict.fromkeys(names, "runtime/default")})
    assert compare_dry_run_of_new(POD, REF, body(), answer) == AcceptedObject(REF)


def test_containers_of_a_template_are_looked_at_too():
    def cron(containers):
        job = {"template": {"spec": {"containers": containers}}}
        return {"metadata": {"name": "one"}, "spec": {"jobTemplate": {"spec": job}}}

    ours = [{"name": "runner", "image": "i:1"}]
    answer = cron([*ours, {"name": "proxy"}])
    (found,) = compare_dry_run_of_new(CRON, REF, cron(ours), answer).fields
    path = "spec.jobTemplate.spec.template.spec.containers[proxy].image"
    assert found == AdmissionChange(path, ABSENT, "")


OPERATED = Kind("example.com/v1", "Service")


@pytest.mark.parametrize(
    ("ours", "theirs", "fields"),
    [
        ({"pods": {"containers": []}}, {"pods": {"containers": [{"name": "a"}]}}, ["pods"]),
        ({"pods": {}}, {"pods": {"initContainers": [{"name": "a"}]}}, ["pods"]),
        ({"pods": {"containers": []}}, {"pods": {"containers": [{"image": "i"}, 5]}}, []),
        ({"list": [{"containers": []}]}, {"list": [{"containers": [{"name": "a"}]}]}, []),
    ],
)
def test_pods_of_an_operators_kind_are_looked_at_where_their_place_is_known(ours, theirs, fields):
    sides = [{"metadata": {"name": "one"}, "spec": spec} for spec in (ours, theirs)]
    found = compare_dry_run_of_new(OPERATED, REF, *sides)
    added = [f.path for f in getattr(found, "fields", ()) if f.declared is ABSENT]
    assert [path.split(".")[1] for path in added] == fields
