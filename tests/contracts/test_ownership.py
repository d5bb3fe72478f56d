"""The `Cluster` port: field ownership in applies and updates."""

import pytest

from reconcile.core.errors import ConflictError, FieldOwner
from reconcile.core.fields.managed_fields import (
    build_field_set,
    find_manager_fields,
    find_released_fields,
    iter_managed_fields,
    iter_owned_paths,
)
from reconcile.core.fields.merge_schema import merge_schema_for
from reconcile.core.model import Kind
from reconcile.engine.ports import ApplyOptions
from tests.builders import kind_of, ref_of_object
from tests.contracts.bodies import (
    FORCED,
    OTHERS,
    OURS,
    body,
    config_map,
    owner,
    pod,
    service,
    version,
)
from tests.live_patch import patch_object

NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")


def managed(obj):
    """Who has an entry, by operation, with all that they own."""
    return {
        (entry.manager, entry.operation): set(iter_owned_paths(entry.fields))
        for entry in iter_managed_fields(obj)
        if not entry.subresource
    }


def set_value(path, value):
    return [{"op": "add", "path": path, "value": value}]


def ports(obj):
    return [port["port"] for port in obj["spec"]["ports"]]


def test_an_apply_owns_what_it_declares(cluster, namespace):
    declared = pod(
        namespace,
        {
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": ""}],
            "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "resources": {"limits": {"cpu": "1000m"}},
            "command": ["sleep", "1"],
            "volumeMounts": [{"name": "work", "mountPath": '/a&b<c>é"d'}],
        },
        tolerations=[{"key": "a", "operator": "Exists"}],
        volumes=[{"name": "work", "emptyDir": {"sizeLimit": "1Gi"}}],
    )
    declared["metadata"]["labels"] = {"example.com/a": "b"}
    applied = cluster.apply(declared, OURS)
    owned = find_manager_fields(applied, "reconcile")
    assert owned == build_field_set(declared, merge_schema_for(kind_of(declared)))
    assert managed(applied).keys() == {("reconcile", "Apply")}


def test_an_empty_map_may_be_owned_but_is_never_given_up_by_mistake(cluster, namespace):
    declared = pod(namespace, volumes=[{"name": "work", "emptyDir": {}}])
    owned = find_manager_fields(cluster.apply(declared, OURS), "reconcile")
    assert owned is not None
    assert (
        find_released_fields(owned, build_field_set(declared, merge_schema_for(kind_of(declared))))
        == {}
    )


def test_a_second_apply_of_the_same_changes_nothing(cluster, namespace):
    declared = service(namespace, 80, 81)
    declared["metadata"]["annotations"] = {"a": "b"}
    first = cluster.apply(declared, OURS)
    assert cluster.apply(declared, OURS) == first
    assert cluster.apply(declared, FORCED) == first


def test_a_field_that_is_declared_no_more_is_removed(cluster, namespace):
    metadata = {"labels": {"a": "1", "b": "2"}, "annotations": {"c": "3"}}
    cluster.apply(config_map(namespace, data={"x": "1", "y": "2"}, metadata=metadata), OURS)
    less = {"labels": {"b": "2"}}
    applied = cluster.apply(config_map(namespace, data={"y": "2"}, metadata=less), OURS)
    assert applied["data"] == {"y": "2"}
    assert applied["metadata"]["labels"] == {"b": "2"}
    assert "annotations" not in applied["metadata"]
    nothing = cluster.apply(config_map(namespace), OURS)
    assert "data" not in nothing
    assert "labels" not in nothing["metadata"]
    assert find_manager_fields(nothing, "reconcile") is None


def test_a_port_that_is_declared_no_more_is_removed(cluster, namespace):
    cluster.apply(service(namespace, 80, 81, 82), OURS)
    assert ports(cluster.apply(service(namespace, 80, 82), OURS)) == [80, 82]


def test_a_removed_field_falls_back_to_its_default(cluster, namespace):
    affine = service(namespace, 80, sessionAffinity="ClientIP")
    assert cluster.apply(affine, OURS)["spec"]["sessionAffinity"] == "ClientIP"
    applied = cluster.apply(service(namespace, 80), OURS)
    assert applied["spec"]["sessionAffinity"] == "None"


def test_fields_that_others_set_next_to_ours_stay(cluster, namespace, other_manager):
    applied = cluster.apply(service(namespace, 80), OURS)
    port = {"name": "theirs", "port": 99, "protocol": "TCP", "targetPort": 99}
    other_manager.edit(applied, set_value("/spec/ports/-", port))
    other_manager.edit(applied, set_value("/metadata/labels", {"theirs": "1"}))
    again = cluster.apply(service(namespace, 80, 81), OURS)
    assert sorted(ports(again)) == [80, 81, 99]
    assert again["metadata"]["labels"] == {"theirs": "1"}
    assert sorted(ports(cluster.apply(service(namespace, 81), OURS))) == [81, 99]


def test_another_manager_owns_what_it_changed_and_we_no_longer_do(
    cluster, namespace, other_manager
):
    applied = cluster.apply(config_map(namespace, data={"a": "1", "b": "2"}), OURS)
    operations = [*set_value("/data/a", "x"), *set_value("/data/c", "3")]
    edited = other_manager.edit(applied, operations)
    assert managed(edited) == {
        ("reconcile", "Apply"): {("f:data", "f:b")},
        ("other_manager", "Update"): {("f:data", "f:a"), ("f:data", "f:c")},
    }


def test_a_field_that_another_manager_removed_has_no_owner_and_returns_without_conflict(
    cluster, namespace, other_manager
):
    applied = cluster.apply(config_map(namespace, data={"a": "1", "b": "2"}), OURS)
    edited = other_manager.edit(applied, [{"op": "remove", "path": "/data/a"}])
    assert managed(edited) == {("reconcile", "Apply"): {("f:data", "f:b")}}
    again = cluster.apply(config_map(namespace, data={"a": "1", "b": "2"}), OURS)
    assert again["data"] == {"a": "1", "b": "2"}


def test_an_edit_that_changes_nothing_takes_nothing(cluster, namespace, other_manager):
    applied = cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    assert other_manager.edit(applied, set_value("/data/a", "1")) == applied


def test_a_conflict_names_manager_and_field(cluster, namespace, other_manager):
    data = {"a": "1", "b.c": "2", "d": "4"}
    applied = cluster.apply(config_map(namespace, data=data), OURS)
    edited = other_manager.edit(applied, [*set_value("/data/a", "x"), *set_value("/data/b.c", "y")])
    with pytest.raises(ConflictError, match=f"apply ConfigMap {namespace}/one") as refused:
        cluster.apply(config_map(namespace, data=data), OURS)
    assert refused.value.owners == (
        FieldOwner("other_manager", ".data.a"),
        FieldOwner("other_manager", ".data.b.c"),
    )
    assert cluster.get(kind_of(applied), namespace, "one") == edited


def test_a_conflict_names_the_place_in_a_list(cluster, namespace, other_manager):
    declared = service(namespace, 80, selector={"a": "b"})
    declared["spec"]["ports"][0]["targetPort"] = 8080
    applied = cluster.apply(declared, OURS)
    other_manager.edit(applied, set_value("/spec/ports/0/targetPort", 9090))
    with pytest.raises(ConflictError) as refused:
        cluster.apply(declared, OURS)
    field = '.spec.ports[port=80,protocol="TCP"].targetPort'
    assert refused.value.owners == (FieldOwner("other_manager", field),)


def test_every_manager_that_stands_against_is_named(cluster, namespace):
    cluster.apply(config_map(namespace, data={"a": "1", "b": "2"}), OURS)
    cluster.apply(config_map(namespace, data={"a": "1"}), OTHERS)
    other = config_map(namespace, data={"a": "2"})
    with pytest.raises(ConflictError) as refused:
        cluster.apply(other, ApplyOptions("third"))
    assert set(refused.value.owners) == {
        FieldOwner("another", ".data.a"),
        FieldOwner("reconcile", ".data.a"),
    }


def test_force_takes_over_what_is_contested_and_nothing_else(cluster, namespace, other_manager):
    applied = cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    other_manager.edit(applied, [*set_value("/data/a", "x"), *set_value("/data/z", "9")])
    forced = cluster.apply(config_map(namespace, data={"a": "1"}), FORCED)
    assert forced["data"] == {"a": "1", "z": "9"}
    assert managed(forced) == {
        ("reconcile", "Apply"): {("f:data", "f:a")},
        ("other_manager", "Update"): {("f:data", "f:z")},
    }


def test_agreeing_managers_share_a_field_until_the_last_lets_go(cluster, namespace):
    cluster.apply(config_map(namespace, data={"a": "1", "b": "2"}), OURS)
    shared = cluster.apply(config_map(namespace, data={"b": "2"}), OTHERS)
    assert ("f:data", "f:b") in managed(shared)[("reconcile", "Apply")]
    assert managed(shared)[("another", "Apply")] == {("f:data", "f:b")}
    first = cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    assert first["data"] == {"a": "1", "b": "2"}
    last = cluster.apply(config_map(namespace), OTHERS)
    assert last["data"] == {"a": "1"}
    assert managed(last).keys() == {("reconcile", "Apply")}


def test_what_an_updater_set_to_our_value_stays_when_we_let_go(cluster, namespace, other_manager):
    other_manager.create(config_map(namespace, data={"a": "1"}))
    both = cluster.apply(config_map(namespace, data={"a": "1", "b": "2"}), OURS)
    assert ("f:data", "f:a") in managed(both)[("other_manager", "Update")]
    assert cluster.apply(config_map(namespace), OURS)["data"] == {"a": "1"}


def test_an_apply_merges_into_a_foreign_object_without_an_error(cluster, namespace, other_manager):
    other_manager.create(config_map(namespace, data={"theirs": "1"}))
    merged = cluster.apply(config_map(namespace, data={"ours": "2"}), OURS)
    assert merged["data"] == {"theirs": "1", "ours": "2"}


def test_who_creates_an_object_owns_every_field_of_it(cluster, namespace, other_manager):
    created = other_manager.create(config_map(namespace, data={"a": "1"}))
    assert managed(created) == {("other_manager", "Update"): {("f:data",), ("f:data", "f:a")}}
    with pytest.raises(ConflictError) as refused:
        cluster.apply(config_map(namespace, data={"a": "2"}), OURS)
    assert refused.value.owners == (FieldOwner("other_manager", ".data.a"),)


def test_an_item_that_we_release_is_removed_with_the_fields_of_others(
    cluster, namespace, other_manager
):
    applied = cluster.apply(service(namespace, 80, 81), OURS)
    other_manager.edit(applied, set_value("/spec/ports/1/targetPort", 99))
    assert ports(cluster.apply(service(namespace, 80), OURS)) == [80]


def test_an_item_stays_while_another_manager_declares_it(cluster, namespace):
    cluster.apply(service(namespace, 80, 81), OURS)
    theirs = service(namespace, 81)
    del theirs["spec"]["selector"]
    cluster.apply(theirs, OTHERS)
    assert ports(cluster.apply(service(namespace, 80), OURS)) == [80, 81]


def test_an_atomic_list_has_one_owner(cluster, namespace, other_manager):
    rule = {"ports": [{"port": 80, "protocol": "TCP"}]}
    declared = body(NETWORK_POLICY, namespace, spec={"podSelector": {}, "ingress": [rule]})
    applied = cluster.apply(declared, OURS)
    other_manager.edit(applied, set_value("/spec/ingress/-", {}))
    with pytest.raises(ConflictError) as refused:
        cluster.apply(declared, OURS)
    assert refused.value.owners == (FieldOwner("other_manager", ".spec.ingress"),)
    assert cluster.apply(declared, FORCED)["spec"]["ingress"] == [rule]


def test_a_label_selector_has_one_owner(cluster, namespace, other_manager):
    spec = {"podSelector": {"matchLabels": {"a": "b"}}}
    declared = body(NETWORK_POLICY, namespace, spec=spec)
    applied = cluster.apply(declared, OURS)
    assert managed(applied)[("reconcile", "Apply")] == {("f:spec", "f:podSelector")}
    other_manager.edit(applied, set_value("/spec/podSelector/matchLabels/x", "y"))
    forced = cluster.apply(declared, FORCED)
    assert forced["spec"]["podSelector"] == {"matchLabels": {"a": "b"}}


def test_members_of_a_set_have_owners_of_their_own(cluster, namespace):
    cluster.apply(config_map(namespace, metadata={"finalizers": ["a.b/c"]}), OURS)
    theirs = config_map(namespace, metadata={"finalizers": ["d.e/f"]})
    both = cluster.apply(theirs, OTHERS)
    assert both["metadata"]["finalizers"] == ["a.b/c", "d.e/f"]
    one = cluster.apply(config_map(namespace), OURS)
    assert one["metadata"]["finalizers"] == ["d.e/f"]
    cluster.apply(config_map(namespace), OTHERS)


def test_owner_references_are_identified_by_uid(cluster, namespace):
    first = cluster.apply(config_map(namespace, "first"), OURS)
    second = cluster.apply(config_map(namespace, "second"), OURS)
    ours = config_map(namespace, metadata={"ownerReferences": [owner(first)]})
    cluster.apply(ours, OURS)
    guest = {**owner(second), "controller": False}
    both = cluster.apply(config_map(namespace, metadata={"ownerReferences": [guest]}), OTHERS)
    assert [each["name"] for each in both["metadata"]["ownerReferences"]] == ["first", "second"]
    assert cluster.apply(ours, OURS) == both


def test_giving_up_a_shared_field_is_a_write(cluster, namespace):
    cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    shared = cluster.apply(config_map(namespace, data={"a": "1"}), OTHERS)
    given_up = cluster.apply(config_map(namespace), OURS)
    assert given_up["data"] == {"a": "1"}
    assert version(given_up) != version(shared)


def test_an_edit_under_our_name_is_not_our_apply(cluster, namespace):
    applied = cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    change = set_value("/data/a", "2")
    patched = patch_object(cluster, kind_of(applied), ref_of_object(applied), change)
    assert managed(patched) == {("reconcile", "Update"): {("f:data", "f:a")}}
    with pytest.raises(ConflictError) as refused:
        cluster.apply(config_map(namespace, data={"a": "1"}), OURS)
    assert refused.value.owners == (FieldOwner("reconcile", ".data.a"),)
