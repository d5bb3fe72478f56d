import pytest

from reconcile.core.changes import (
    ABSENT,
    Commit,
    Drift,
    FieldChange,
    ForcesReplace,
    InPlace,
    MetadataOnly,
    RestartsContainer,
)
from reconcile.core.model import ANNOTATION_DIGEST, ANNOTATION_RECORD_UID
from reconcile.core.plan.live_state import InSync, OutOfSync, compare
from tests.builders import (
    KUBECTL_TIME,
    co_owned,
    config_map,
    container,
    live,
    manifest,
    pod,
    service,
    taken_over,
)

BY_KUBECTL = Drift("kubectl-edit", KUBECTL_TIME)
DATA_A = {"f:data": {"f:a": {}}}


def images(image):
    return pod(containers=[container(image=image)])


def files(**data):
    return manifest(config_map(data=data))


def changed(obj, **data):
    obj["data"] = {**obj["data"], **data}
    return obj


def fields(wanted, obj):
    comparison = compare(wanted, obj)
    assert isinstance(comparison, OutOfSync)
    return comparison.fields


def test_what_was_applied_is_the_same():
    wanted = manifest(pod())
    assert compare(wanted, live(wanted)) == InSync(wanted.digest)


def test_the_same_by_value_is_the_same_though_the_digest_is_another():
    wanted = manifest(pod(hostNetwork=False))
    assert compare(wanted, live(manifest(pod()))) == InSync(wanted.digest)


def test_owner_references_are_not_compared():
    wanted = manifest(pod(nodeName="n"))
    obj = live(manifest(pod()), owner_uid="uid-1")
    assert [field.path for field in fields(wanted, obj)] == ["spec.nodeName"]


@pytest.mark.parametrize("value", ["uid-1", "of another manager", ""])
def test_the_uid_of_the_record_is_not_compared(value):
    wanted = manifest(pod(nodeName="n"))
    obj = live(manifest(pod()), owner_uid="uid-1")
    obj["metadata"]["annotations"][ANNOTATION_RECORD_UID] = value
    if value != "uid-1":
        fields_v1 = {"f:metadata": {"f:annotations": {f"f:{ANNOTATION_RECORD_UID}": {}}}}
        taken_over(obj, fields_v1)
    comparison = compare(wanted, obj)
    assert isinstance(comparison, OutOfSync)
    assert [field.path for field in comparison.fields] == ["spec.nodeName"]
    assert not comparison.has_conflict


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (
            pod(),
            pod(metadata={"labels": {"a": "1"}}),
            FieldChange("metadata.labels.a", ABSENT, "1", MetadataOnly(), Commit()),
        ),
        (
            pod(),
            images("runner:2"),
            FieldChange(
                "spec.containers[runner].image",
                "runner:1",
                "runner:2",
                RestartsContainer("runner"),
                Commit(),
            ),
        ),
        (
            pod(nodeSelector={"a": "1"}),
            pod(),
            FieldChange("spec.nodeSelector", {"a": "1"}, ABSENT, ForcesReplace(), Commit()),
        ),
        (
            service(),
            service(type="NodePort"),
            FieldChange("spec.type", "ClusterIP", "NodePort", InPlace(), Commit()),
        ),
    ],
)
def test_each_field_comes_with_its_effect_and_the_digest_is_not_shown(before, after, change):
    comparison = compare(manifest(after), live(manifest(before)))
    assert isinstance(comparison, OutOfSync)
    assert comparison.fields == (change,)
    assert not comparison.has_conflict
    assert {
        "op": "replace",
        "path": "/metadata/annotations/reconcile.ambient-code.io~1digest",
        "value": manifest(after).digest,
    } in comparison.operations


def test_a_field_changed_by_another_manager_is_drift_and_a_conflict():
    wanted = files(a="1")
    obj = taken_over(changed(live(wanted), a="x"), DATA_A)
    comparison = compare(wanted, obj)
    assert comparison == OutOfSync(
        (FieldChange("data.a", "x", "1", InPlace(), BY_KUBECTL),),
        ({"op": "replace", "path": "/data/a", "value": "1"},),
        has_conflict=True,
        is_new_manifest=False,
    )


def test_a_removed_field_is_drift_by_an_unknown_manager():
    wanted = files(a="1", b="2")
    obj = live(wanted)
    del obj["data"]["a"]
    assert fields(wanted, obj) == (FieldChange("data.a", ABSENT, "1", InPlace(), Drift()),)


def test_a_field_changed_by_another_manager_is_drift_in_a_commit_too():
    obj = taken_over(changed(live(files(a="1", b="1")), a="x"), DATA_A)
    assert {field.path: field.cause for field in fields(files(a="1", b="2"), obj)} == {
        "data.a": BY_KUBECTL,
        "data.b": Commit(),
    }


def test_what_another_manager_declares_too_is_a_commit_when_it_changes_and_contested():
    obj = co_owned(live(files(a="1")), DATA_A, operation="Apply")
    comparison = compare(files(a="2"), obj)
    assert isinstance(comparison, OutOfSync)
    assert [field.cause for field in comparison.fields] == [Commit()]
    assert comparison.has_conflict


def test_what_another_manager_declares_too_is_released_without_a_contest():
    obj = co_owned(live(files(a="1", b="1")), DATA_A, operation="Apply")
    comparison = compare(files(b="1"), obj)
    assert isinstance(comparison, OutOfSync)
    assert comparison.fields == (FieldChange("data.a", "1", "1", MetadataOnly(), Commit()),)
    assert not comparison.has_conflict
    assert [each["op"] for each in comparison.operations] == ["replace"]


def test_a_changed_digest_annotation_is_not_a_difference():
    wanted = files(a="1")
    obj = live(wanted)
    obj["metadata"]["annotations"][ANNOTATION_DIGEST] = "sha256:0"
    assert compare(wanted, obj) == InSync(wanted.digest)


@pytest.mark.parametrize("metadata", [{"annotations": None}, {}])
def test_an_object_without_annotations_gets_them(metadata):
    wanted = files(a="1")
    obj = live(wanted)
    del obj["metadata"]["annotations"]
    obj["metadata"] |= metadata
    assert [field.path for field in fields(wanted, obj)] == ["metadata.annotations"]


def test_a_change_by_a_subresource_has_its_manager_and_time():
    requests = {"resources": {"requests": {"cpu": "500m"}}}
    wanted = manifest(pod(containers=[container(**requests)]))
    obj = live(wanted)
    cpu = {"f:resources": {"f:requests": {"f:cpu": {}}}}
    taken_over(obj, {"f:spec": {"f:containers": {'k:{"name":"runner"}': cpu}}}, "vpa")
    obj["metadata"]["managedFields"][-1]["subresource"] = "resize"
    obj["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    [field] = fields(wanted, obj)
    assert field.path == "spec.containers[runner].resources.requests.cpu"
    assert field.cause == Drift("vpa", KUBECTL_TIME)
    assert field.effect == ForcesReplace()
