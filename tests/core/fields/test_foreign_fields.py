"""What others own, have added or take as a whole."""

import pytest

from reconcile.core.changes import ABSENT
from tests.builders import (
    co_owned,
    live,
    manage,
    manifest,
    pod,
    service,
    taken_over,
)
from tests.core.fields.comparison import ENV_A, ENV_B, POINTER, RUNNER, differ, in_container


def in_runner(fields):
    return {"f:spec": {"f:containers": {'k:{"name":"runner"}': fields}}}


def test_fields_added_by_others_are_kept_and_not_a_difference():
    obj = live(manifest(in_container(env=[ENV_A, ENV_B])))
    obj["metadata"]["labels"]["theirs"] = "1"
    obj["spec"]["containers"].insert(0, {"name": "proxy", "image": "proxy:1"})
    obj["spec"]["containers"][1]["env"].insert(0, {"name": "THEIRS", "value": "1"})
    obj["spec"]["nodeName"] = "n"
    found, operations = differ(in_container(env=[ENV_B]), obj)
    assert found == [(f"{RUNNER}.env[A]", ENV_A, ABSENT)]
    assert operations == ({"op": "remove", "path": "/spec/containers/1/env/1"},)


def test_what_others_declare_too_is_only_released():
    obj = live(manifest(pod(metadata={"labels": {"a": "1"}}, nodeSelector={"x": "1", "y": "2"})))
    co_owned(
        obj,
        {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:nodeSelector": {"f:x": {}}}},
        operation="Apply",
    )
    found, operations = differ(pod(), obj)
    assert found == [
        ("metadata.labels.a", "1", "1"),
        ("spec.nodeSelector.x", "1", "1"),
        ("spec.nodeSelector.y", "2", ABSENT),
    ]
    assert operations == ({"op": "remove", "path": "/spec/nodeSelector/y"},)


def test_an_entry_that_others_declare_too_loses_only_what_is_ours_alone():
    obj = live(manifest(in_container(env=[ENV_A, ENV_B])))
    theirs = {'k:{"name":"A"}': {".": {}, "f:name": {}}}
    co_owned(obj, in_runner({"f:env": theirs}), operation="Apply")
    found, operations = differ(in_container(env=[ENV_B]), obj)
    assert found == [
        (f"{RUNNER}.env[A].name", "A", "A"),
        (f"{RUNNER}.env[A].value", "1", ABSENT),
    ]
    assert operations == ({"op": "remove", "path": f"{POINTER}/env/0/value"},)


def test_an_entry_in_which_others_have_only_changed_something_goes_all_the_same():
    obj = live(manifest(in_container(env=[ENV_A, ENV_B])))
    obj["spec"]["containers"][0]["env"][0]["value"] = "x"
    taken_over(obj, in_runner({"f:env": {'k:{"name":"A"}': {"f:value": {}}}}))
    assert differ(in_container(env=[ENV_B]), obj) == (
        [(f"{RUNNER}.env[A]", {"name": "A", "value": "x"}, ABSENT)],
        ({"op": "remove", "path": f"{POINTER}/env/0"},),
    )


def test_a_map_that_others_own_as_a_whole_is_released_as_a_whole():
    obj = live(manifest(service(selector={"a": "1"})))
    manage(obj, "reconcile", {"f:spec": {"f:selector": {}}}, operation="Apply")
    co_owned(obj, {"f:spec": {"f:selector": {}}}, operation="Apply")
    without = service()
    del without["spec"]["selector"]
    found, operations = differ(without, obj)
    assert ("spec.selector", {"a": "1"}, {"a": "1"}) in found
    assert operations == ()


def test_an_empty_map_in_which_others_own_something_is_released():
    obj = live(manifest(pod(securityContext={})))
    obj["spec"]["securityContext"]["fsGroup"] = 5
    co_owned(obj, {"f:spec": {"f:securityContext": {"f:fsGroup": {}}}})
    assert differ(pod(), obj) == ([("spec.securityContext", {"fsGroup": 5}, {"fsGroup": 5})], ())


@pytest.mark.parametrize("declared", [{"a": "1"}, {"a": "2"}, {}])
def test_a_map_that_the_server_takes_as_a_whole_is_compared_as_a_whole(declared):
    obj = live(manifest(service(selector={"a": "1"})))
    obj["spec"]["selector"] = {"a": "1", "theirs": "1"}
    taken_over(obj, {"f:spec": {"f:selector": {}}})
    ours = obj["metadata"]["managedFields"][0]["fieldsV1"]
    del ours["f:spec"]["f:selector"]
    assert differ(service(selector=declared), obj) == (
        [("spec.selector", {"a": "1", "theirs": "1"}, declared)],
        ({"op": "replace", "path": "/spec/selector", "value": declared},),
    )


def test_a_map_that_the_server_takes_as_a_whole_may_be_as_declared():
    obj = live(manifest(service(selector={"a": "1"})))
    manage(obj, "reconcile", {"f:spec": {"f:selector": {}}}, operation="Apply")
    found, _ = differ(service(selector={"a": "1"}), obj)
    assert "spec.selector" not in [path for path, _, _ in found]


def test_a_selector_from_a_field_may_be_given_its_version_by_the_server():
    source = {"fieldRef": {"fieldPath": "metadata.name"}}
    declared = in_container(env=[{"name": "A", "valueFrom": source}])
    obj = live(manifest(declared))
    obj["spec"]["containers"][0]["env"][0]["valueFrom"] = {
        "fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}
    }
    manage(
        obj,
        "reconcile",
        in_runner({"f:env": {'k:{"name":"A"}': {"f:valueFrom": {"f:fieldRef": {}}}}}),
        operation="Apply",
    )
    assert differ(declared, obj) == ([], ())


def test_a_map_that_another_manager_once_owned_empty_is_not_atomic():
    obj = live(manifest(pod(securityContext={"runAsUser": 1})))
    obj["spec"]["securityContext"]["fsGroup"] = 5
    co_owned(obj, {"f:spec": {"f:securityContext": {}}})
    found, _ = differ(pod(securityContext={"runAsUser": 2}), obj)
    assert found == [("spec.securityContext.runAsUser", 1, 2)]


def test_injected_tolerations_are_neither_shown_nor_a_difference():
    gpu = {"key": "gpu", "operator": "Exists"}
    injected = {"key": "node.kubernetes.io/not-ready", "operator": "Exists"}
    obj = live(manifest(pod(tolerations=[gpu])))
    obj["spec"]["tolerations"].append(injected)
    assert differ(pod(tolerations=[gpu]), obj) == ([], ())
    found, _ = differ(pod(tolerations=[gpu, {"key": "x"}]), obj)
    assert found == [("spec.tolerations", [gpu], [gpu, {"key": "x"}])]
