"""The embedded cluster outside of the port, and where versions of real servers differ."""

import threading
from typing import Any

import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.adapters.embedded.server import EmbeddedSettings
from reconcile.adapters.embedded.server_side_apply import format_field_path, remove_unowned
from reconcile.core.errors import ConflictError, InvalidError, NotFoundError
from reconcile.core.fields.managed_fields import (
    build_field_set,
    iter_managed_fields,
    iter_owned_paths,
)
from reconcile.core.fields.merge_schema import UNKNOWN, merge_schema_for
from reconcile.core.model import Kind, ObjectRef
from tests.builders import ref_of_object
from tests.contracts.bodies import (
    BINDING,
    CLAIM,
    CONFIG_MAP,
    OURS,
    POD,
    RBAC,
    SECRET,
    body,
    config_map,
    pod,
    service,
    uid,
)


def value(path, content, op="add"):
    return {"op": op, "path": path, "value": content}


def test_uids_versions_and_times_are_the_callers_to_choose(cluster, clock):
    applied = cluster.apply(config_map("n"), OURS)
    assert uid(applied) == "uid-1"
    assert applied["metadata"]["resourceVersion"] == "1"
    assert applied["metadata"]["creationTimestamp"] == clock.now()


def test_without_settings_uids_are_random_and_time_is_real():
    one, two = EmbeddedCluster(), EmbeddedCluster()
    first, second = (each.apply(config_map("n"), OURS) for each in (one, two))
    assert uid(first) != uid(second)
    assert first["metadata"]["creationTimestamp"] > "2024-01-01T00:00:00Z"


def test_a_manager_keeps_its_time_until_it_changes_something(cluster, clock):
    def times(obj):
        return {owner.manager: owner.time for owner in iter_managed_fields(obj)}

    first = clock.now()
    cluster.apply(config_map("n", data={"a": "1"}), OURS)
    clock.seconds += 60
    cluster.apply(config_map("n", data={"a": "1"}), OURS)
    edited = cluster.edit(ref_of_object(config_map("n")), [value("/data/b", "2")], "other-manager")
    assert times(edited) == {"reconcile": first, "other-manager": clock.now()}


def test_objects_of_all_namespaces_can_be_listed(cluster):
    for namespace in ("b", "a"):
        cluster.apply(config_map(namespace), OURS)
    listed = [obj["metadata"]["namespace"] for obj in cluster.list(CONFIG_MAP, "", {})]
    assert listed == ["a", "b"]


def test_only_the_given_namespaces_are_there():
    cluster = EmbeddedCluster(settings=EmbeddedSettings(namespaces={"a"}))
    cluster.apply(config_map("a"), OURS)
    with pytest.raises(NotFoundError, match='namespaces "b" not found'):
        cluster.apply(config_map("b"), OURS)
    with pytest.raises(NotFoundError, match='namespaces "b" not found'):
        cluster.create(config_map("b"), "other-manager")
    with pytest.raises(NotFoundError, match='namespaces "" not found'):
        EmbeddedCluster().apply(config_map(""), OURS)


def test_a_name_that_is_taken_is_not_created_again(cluster):
    cluster.create(config_map("n"), "other-manager")
    with pytest.raises(ConflictError, match=r"create ConfigMap n/one: .* already exists"):
        cluster.create(config_map("n"), "other-manager")


def test_an_object_of_an_unknown_kind_cannot_be_edited(cluster):
    with pytest.raises(NotFoundError, match="Unheard"):
        cluster.edit(ObjectRef("", "Unheard", "n", "one"), [], "other-manager")


def test_fields_without_a_manager_belong_to_before_first_apply(cluster):
    cluster.apply(config_map("n"), OURS)
    cluster.edit(ref_of_object(config_map("n")), [value("/data", {"a": "1"})], "other-manager")
    assert list(iter_managed_fields(cluster.get(CONFIG_MAP, "n", "one"))) == []
    with pytest.raises(ConflictError) as refused:
        cluster.apply(config_map("n", data={"a": "2"}), OURS)
    assert [owner.manager for owner in refused.value.owners] == ["before-first-apply"]


def test_an_empty_map_is_owned_as_newer_servers_have_it(cluster):
    declared = pod("n", volumes=[{"name": "work", "emptyDir": {}}])
    owner = next(iter_managed_fields(cluster.apply(declared, OURS)))
    assert owner.fields == build_field_set(declared, merge_schema_for(POD))


def test_a_conflict_over_a_member_of_a_set_names_it(cluster):
    finalizers: dict[str, Any] = {"metadata": {"finalizers": ["a.b/c"]}}
    cluster.create(config_map("n", **finalizers), "other-manager")
    without = cluster.apply(config_map("n"), OURS)
    assert without["metadata"]["finalizers"] == ["a.b/c"]
    assert field_names(without) == {'.metadata.finalizers[="a.b/c"]', ".metadata.finalizers"}


def field_names(obj):
    return {
        format_field_path(path)
        for owner in iter_managed_fields(obj)
        for path in iter_owned_paths(owner.fields)
    }


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "merge", "path": "/data/a", "value": "1"},
        {"op": "add", "path": "/data/a"},
        {"path": "/data/a", "value": "1"},
    ],
)
def test_an_invalid_operation_is_a_conflict(cluster, operation):
    cluster.apply(config_map("n", data={"a": "1"}), OURS)
    with pytest.raises(ConflictError, match="edit ConfigMap n/one: the patch does not fit"):
        cluster.edit(ref_of_object(config_map("n")), [operation], "other-manager")


def test_a_patch_that_does_not_fit_is_named_without_values(cluster):
    cluster.apply(config_map("n", data={"a": "canary"}), OURS)
    with pytest.raises(ConflictError) as refused:
        cluster.edit(
            ref_of_object(config_map("n")), [value("/data/a", "secret", "test")], "other-manager"
        )
    assert str(refused.value) == (
        "edit ConfigMap n/one: the patch does not fit the current object: test /data/a"
    )


def test_a_patch_does_not_change_the_values_of_its_caller(cluster):
    cluster.apply(config_map("n"), OURS)
    operations = [value("/data", {}), value("/data/a", "1")]
    edited = cluster.edit(ref_of_object(config_map("n")), operations, "other-manager")
    assert edited["data"] == {"a": "1"}
    assert operations == [value("/data", {}), value("/data/a", "1")]


WRONG = {
    "base64": (body(SECRET, "n", data={"a": "???"}), "data[a]"),
    "a quantity": (
        pod("n", {"resources": {"limits": {"cpu": "much"}}}),
        "spec.containers[0].resources.limits[cpu]",
    ),
    "the text of a variable": (
        pod("n", {"env": [{"name": "A", "value": 1}]}),
        "spec.containers[0].env[0].value",
    ),
    "a size": (
        body(
            CLAIM,
            "n",
            spec={
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "much"}},
            },
        ),
        "spec.resources[storage]",
    ),
    "a role": (body(BINDING, "n", roleRef={"kind": "Role"}), "roleRef.name"),
    "a role's kind": (body(BINDING, "n", roleRef={"name": "a"}), "roleRef.kind"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_real_server_cannot_even_read_is_invalid(cluster, case):
    wrong, field = WRONG[case]
    with pytest.raises(InvalidError) as refused:
        cluster.apply(wrong, OURS)
    assert field in refused.value.fields


def test_a_number_is_a_quantity_as_newer_servers_have_it(cluster):
    applied = cluster.apply(pod("n", {"resources": {"limits": {"cpu": 0.5, "a.b/c": 1}}}), OURS)
    assert applied["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "a.b/c": "1"}


def test_a_label_selector_keeps_its_empty_parts(cluster):
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "selector": {"matchLabels": {"a": ""}, "matchExpressions": []},
    }
    applied = cluster.apply(body(CLAIM, "n", spec=claim), OURS)
    assert applied["spec"]["selector"] == {"matchLabels": {"a": ""}}


@pytest.fixture
def bound(cluster):
    def claim(storage, **fields):
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": storage}},
            **fields,
        }
        return cluster.apply(body(CLAIM, "n", spec=spec), OURS)

    cluster.edit(ref_of_object(claim("2Gi")), [value("/status/phase", "Bound")], "binder")
    return claim


def test_a_bound_claim_may_grow(bound):
    assert bound("3Gi")["spec"]["resources"]["requests"]["storage"] == "3Gi"


@pytest.mark.parametrize(
    ("storage", "fields", "named"),
    [
        ("1Gi", {}, "spec.resources.requests.storage"),
        ("2Gi", {"storageClassName": "fast"}, "spec"),
    ],
)
def test_a_bound_claim_neither_shrinks_nor_changes(bound, storage, fields, named):
    with pytest.raises(InvalidError) as refused:
        bound(storage, **fields)
    assert refused.value.fields == (named,)


def test_an_object_that_ends_takes_no_new_finalizer(cluster):
    applied = cluster.apply(pod("n", nodeName="node"), OURS)
    cluster.delete(POD, ref_of_object(applied), uid(applied))
    late = pod("n", nodeName="node")
    late["metadata"]["finalizers"] = ["a.b/c"]
    with pytest.raises(InvalidError) as refused:
        cluster.apply(late, OURS)
    assert refused.value.fields == ("metadata.finalizers",)


def test_metadata_of_a_role_binding_can_change(cluster):
    role: dict[str, Any] = {
        "roleRef": {"kind": "Role", "name": "a", "apiGroup": RBAC.partition("/")[0]}
    }
    cluster.apply(body(BINDING, "n", **role), OURS)
    labelled = body(BINDING, "n", **role, metadata={"labels": {"a": "b"}})
    assert cluster.apply(labelled, OURS)["metadata"]["labels"] == {"a": "b"}


def test_what_is_owned_in_a_list_that_is_atomic_now_is_left_to_it():
    assert remove_unowned(["a"], {"f:x": {}}, {}, UNKNOWN) == ["a"]


def test_a_list_survives_writes_while_it_is_read(cluster):
    for number in range(3):
        cluster.apply(config_map("n", f"c{number}"), OURS)
    listing = cluster.list(CONFIG_MAP, "n", {})
    first = next(listing)
    for obj in list(cluster.list(CONFIG_MAP, "n", {})):
        cluster.delete(CONFIG_MAP, ref_of_object(obj), uid(obj))
    assert [first["metadata"]["name"], *(obj["metadata"]["name"] for obj in listing)] == [
        "c0",
        "c1",
        "c2",
    ]


def test_threads_share_one_cluster(cluster):
    def write(worker):
        for number in range(50):
            cluster.apply(service("n", 80) | {"metadata": name(worker, number)}, OURS)

    def name(worker, number):
        return {"name": f"s{worker}-{number}", "namespace": "n"}

    workers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    listed = list(cluster.list(Kind("v1", "Service"), "n", {}))
    assert len(listed) == 200
    assert len({obj["metadata"]["resourceVersion"] for obj in listed}) == 200
    assert len({obj["spec"]["clusterIP"] for obj in listed}) == 200
