"""The `Cluster` port: reading, preconditions, dry runs, patches."""

from typing import Any

import pytest

from reconcile.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from reconcile.core.model import Kind
from tests.builders import kind_of, ref_of_object
from tests.contracts.bodies import (
    CONFIG_MAP,
    DRY,
    FORCED,
    OURS,
    RBAC,
    UNUSED_UID,
    body,
    config_map,
    exists,
    pod,
    service,
    uid,
    version,
)
from tests.live_patch import patch_object

UNKNOWN = Kind("example.com/v1", "Unheard")
PAGE_AND_A_BIT = 510


def names(objects):
    return [obj["metadata"]["name"] for obj in objects]


def test_an_apply_creates_what_is_not_there(cluster, namespace):
    applied = cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    assert applied["data"] == {"a": "1"}
    assert (applied["apiVersion"], applied["kind"]) == ("v1", "ConfigMap")
    assert applied["metadata"]["creationTimestamp"].endswith("Z")
    assert uid(applied)
    assert cluster.get(CONFIG_MAP, namespace, "one") == applied


def test_every_object_has_its_own_uid_and_every_write_a_later_version(cluster, namespace):
    one = cluster.apply(config_map(namespace), OURS)
    two = cluster.apply(config_map(namespace, "two"), OURS)
    again = cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    assert uid(one) != uid(two)
    assert uid(one) == uid(again)
    assert int(version(one)) < int(version(two)) < int(version(again))


def test_a_list_has_only_the_objects_that_carry_every_label(cluster, namespace):
    for name, labels in {"a": {"x": "1"}, "b": {"x": "1", "y": "2"}, "c": {"x": "2"}}.items():
        cluster.apply(config_map(namespace, name, metadata={"labels": labels}), OURS)
    listed = list(cluster.list(CONFIG_MAP, namespace, {"x": "1"}))
    assert names(listed) == ["a", "b"]
    assert names(cluster.list(CONFIG_MAP, namespace, {"x": "1", "y": "2"})) == ["b"]
    assert {"a", "b", "c"} <= set(names(cluster.list(CONFIG_MAP, namespace, {})))
    assert listed[0] == cluster.get(CONFIG_MAP, namespace, "a")


def test_a_list_goes_beyond_one_page(cluster, namespace):
    expected = [f"many-{number:03}" for number in range(PAGE_AND_A_BIT)]
    for name in expected:
        cluster.apply(config_map(namespace, name, metadata={"labels": {"x": "1"}}), OURS)
    assert names(cluster.list(CONFIG_MAP, namespace, {"x": "1"})) == expected
    assert set(names(cluster.metadata(CONFIG_MAP, namespace))) >= set(expected)


def test_metadata_comes_alone_whatever_the_labels(cluster, namespace):
    cluster.apply(config_map(namespace, "a", data={"big": "x"}), OURS)
    cluster.apply(config_map(namespace, "b", metadata={"labels": {"x": "1"}}), OURS)
    found = {obj["metadata"]["name"]: obj for obj in cluster.metadata(CONFIG_MAP, namespace)}
    assert found["a"].keys() == {"apiVersion", "kind", "metadata"}
    assert (found["a"]["apiVersion"], found["a"]["kind"]) == ("v1", "ConfigMap")
    assert found["b"]["metadata"]["labels"] == {"x": "1"}
    assert uid(found["a"]) == uid(cluster.get(CONFIG_MAP, namespace, "a"))


def test_a_returned_object_can_be_changed(cluster, namespace):
    applied = cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    applied["data"]["a"] = "2"
    next(cluster.list(CONFIG_MAP, namespace, {}))["metadata"]["labels"] = {"x": "y"}
    found = cluster.get(CONFIG_MAP, namespace, "one")
    assert found["data"] == {"a": "1"}
    assert "labels" not in found["metadata"]


def test_a_namespace_that_is_not_there_has_nothing_and_takes_nothing(cluster):
    assert list(cluster.list(CONFIG_MAP, "absent", {})) == []
    assert list(cluster.metadata(CONFIG_MAP, "absent")) == []
    with pytest.raises(NotFoundError, match="absent"):
        cluster.apply(config_map("absent"), OURS)
    with pytest.raises(NotFoundError, match="absent"):
        cluster.get(CONFIG_MAP, "absent", "one")


def test_a_kind_that_is_not_served_has_nothing_and_takes_nothing(cluster, namespace):
    unheard = body(UNKNOWN, namespace)
    assert list(cluster.list(UNKNOWN, namespace, {})) == []
    assert list(cluster.metadata(UNKNOWN, namespace)) == []
    with pytest.raises(NotFoundError, match="Unheard"):
        cluster.apply(unheard, OURS)
    with pytest.raises(NotFoundError, match="Unheard"):
        cluster.get(UNKNOWN, namespace, "one")
    with pytest.raises(NotFoundError, match="Unheard"):
        cluster.delete(UNKNOWN, ref_of_object(unheard), UNUSED_UID)


def test_what_is_not_there_cannot_be_read_patched_or_deleted(cluster, namespace):
    absent = ref_of_object(config_map(namespace, "absent"))
    with pytest.raises(NotFoundError, match="absent"):
        cluster.get(CONFIG_MAP, namespace, "absent")
    with pytest.raises(NotFoundError, match="absent"):
        patch_object(cluster, CONFIG_MAP, absent, [])
    with pytest.raises(NotFoundError, match="absent"):
        cluster.delete(CONFIG_MAP, absent, UNUSED_UID)


@pytest.mark.parametrize("options", [OURS, FORCED], ids=["plain", "forced"])
def test_an_apply_to_another_uid_is_refused(cluster, namespace, options):
    applied = cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    stale = config_map(namespace, data={"a": "2"}, metadata={"uid": UNUSED_UID})
    with pytest.raises(ConflictError):
        cluster.apply(stale, options)
    assert cluster.get(CONFIG_MAP, namespace, "one") == applied


def test_an_apply_to_the_right_uid_is_made(cluster, namespace):
    applied = cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    wanted = config_map(namespace, data={"a": "2"}, metadata={"uid": uid(applied)})
    assert cluster.apply(wanted, OURS)["data"] == {"a": "2"}


@pytest.mark.parametrize(
    "precondition",
    [{"uid": UNUSED_UID}, {"resourceVersion": "1"}, {"uid": UNUSED_UID, "resourceVersion": "1"}],
)
def test_an_apply_with_a_precondition_never_creates(cluster, namespace, precondition):
    with pytest.raises(ConflictError):
        cluster.apply(config_map(namespace, metadata=precondition), OURS)
    assert not exists(cluster, config_map(namespace))


def test_an_apply_to_a_version_that_is_past_is_refused(cluster, namespace):
    first = cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    second = cluster.apply(config_map(namespace, data={"a": "2"}), OURS)
    stale = {"uid": uid(first), "resourceVersion": version(first)}
    with pytest.raises(ConflictError):
        cluster.apply(config_map(namespace, data={"a": "3"}, metadata=stale), FORCED)
    fresh = {"uid": uid(first), "resourceVersion": version(second)}
    wanted = config_map(namespace, data={"a": "3"}, metadata=fresh)
    assert cluster.apply(wanted, FORCED)["data"] == {"a": "3"}


def test_a_dry_run_of_a_creation_creates_nothing(cluster, namespace):
    answer = cluster.apply(service(namespace, 80), DRY)
    assert answer["spec"]["type"] == "ClusterIP"
    assert not exists(cluster, service(namespace, 80))


def test_a_dry_run_of_a_change_changes_nothing(cluster, namespace):
    applied = cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    operations = [{"op": "replace", "path": "/data/a", "value": "2"}]
    assert cluster.apply(config_map(namespace, data={"a": "2"}), DRY)["data"] == {"a": "2"}
    patched = patch_object(cluster, CONFIG_MAP, ref_of_object(applied), operations, dry_run=True)
    assert patched["data"] == {"a": "2"}
    assert cluster.get(CONFIG_MAP, namespace, "one") == applied


def test_a_json_patch_gives_what_the_apply_gives(cluster, namespace):
    applied = cluster.apply(config_map(namespace, data={"a": "1", "b": "2", "d": "4"}), OURS)
    labels = {"x/y": "z"}
    wanted = config_map(namespace, data={"a": "9", "c": "3", "d": "4"}, metadata={"labels": labels})
    operations = [
        {"op": "test", "path": "/metadata/uid", "value": uid(applied)},
        {"op": "replace", "path": "/data/a", "value": "9"},
        {"op": "add", "path": "/data/c", "value": "3"},
        {"op": "remove", "path": "/data/b"},
        {"op": "add", "path": "/metadata/labels", "value": {}},
        {"op": "add", "path": "/metadata/labels/x~1y", "value": "z"},
    ]
    by_patch = patch_object(cluster, CONFIG_MAP, ref_of_object(applied), operations, dry_run=True)
    by_apply = cluster.apply(wanted, DRY)
    assert by_patch["data"] == by_apply["data"] == wanted["data"]
    assert by_patch["metadata"]["labels"] == by_apply["metadata"]["labels"] == labels


def test_a_json_patch_moves_through_lists_by_index(cluster, namespace):
    applied = cluster.apply(service(namespace, 80, 81, 82), OURS)
    operations = [
        {"op": "add", "path": "/spec/ports/-", "value": {"name": "p83", "port": 83}},
        {"op": "copy", "from": "/spec/ports/0/port", "path": "/spec/ports/0/targetPort"},
        {"op": "move", "from": "/spec/ports/2", "path": "/spec/ports/0"},
        {"op": "remove", "path": "/spec/ports/2"},
    ]
    patched = patch_object(cluster, kind_of(applied), ref_of_object(applied), operations)
    assert [port["port"] for port in patched["spec"]["ports"]] == [82, 80, 83]
    assert cluster.get(kind_of(applied), namespace, "one") == patched


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/metadata/uid", "value": UNUSED_UID},
        {"op": "replace", "path": "/metadata/uid", "value": UNUSED_UID},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "999999999"},
        {"op": "remove", "path": "/data/absent"},
        {"op": "replace", "path": "/metadata/labels/absent", "value": "1"},
        {"op": "add", "path": "/absent/a", "value": "1"},
        {"op": "add", "path": "/metadata/finalizers/1", "value": "a.b/c"},
        {"op": "remove", "path": "/metadata/finalizers/x"},
    ],
    ids=lambda operation: f"{operation['op']} {operation['path']}",
)
def test_a_json_patch_that_does_not_fit_is_a_conflict(cluster, namespace, operation):
    applied = cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    change = [
        {"op": "add", "path": "/data/a", "value": "2"},
        {"op": "add", "path": "/metadata/finalizers", "value": []},
    ]
    with pytest.raises(ConflictError):
        patch_object(cluster, CONFIG_MAP, ref_of_object(applied), [*change, operation])
    assert cluster.get(CONFIG_MAP, namespace, "one") == applied


def test_a_pod_without_its_service_account_is_forbidden(cluster, namespace):
    with pytest.raises(ForbiddenError, match='"absent" not found'):
        cluster.apply(pod(namespace, serviceAccountName="absent"), OURS)
    cluster.apply(body(Kind("v1", "ServiceAccount"), namespace, "absent"), OURS)
    applied = cluster.apply(pod(namespace, serviceAccountName="absent"), OURS)
    assert applied["spec"]["serviceAccountName"] == "absent"


def test_what_an_error_is_about_is_named(cluster, namespace):
    with pytest.raises(InvalidError, match=f"apply ConfigMap {namespace}/Wrong") as refused:
        cluster.apply(config_map(namespace, "Wrong"), OURS)
    assert refused.value.fields == ("metadata.name",)
    binding: dict[str, Any] = {
        "roleRef": {"kind": "Role", "name": "r", "apiGroup": RBAC.partition("/")[0]}
    }
    assert exists(cluster, cluster.apply(body(Kind(RBAC, "Role"), namespace, "r"), OURS))
    assert exists(
        cluster, cluster.apply(body(Kind(RBAC, "RoleBinding"), namespace, **binding), OURS)
    )
