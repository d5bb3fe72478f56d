"""The inventory leads to everything that we have ever made, and never says too little."""

import json

import pytest

from reconcile.core.changes import Hold, HoldReason, Status
from reconcile.core.errors import ClusterError, ForbiddenError, NotFoundError
from reconcile.core.inventory import BudgetUsage, Inventory, build_inventory_body
from reconcile.core.model import FIELD_MANAGER, ObjectMetadata
from reconcile.engine.ports import ApplyOptions
from tests.engine.fakes import Times, always
from tests.engine.installation import EmbeddedInstallation, declared, is_quiet
from tests.session_files import GENEROUS, SHIPPED, policy_text

NO = ForbiddenError("no such right")
NAME = "reconcile-inventory-default"
SECRET = 'apiVersion: v1\nkind: Secret\nmetadata: {name: "{{ session.name }}-key"}\n'


def inventory(world, namespace="team-a"):
    data = world.get("ConfigMap", NAME, namespace)["data"]
    kinds = [name for _, name in json.loads(data["kinds"])]
    return kinds, json.loads(data["namespaces"])


def in_namespaces(*namespaces, policy=(GENEROUS, "allowEmpty: true")):
    world = EmbeddedInstallation()
    world.files["policy.yaml"] = policy_text(*policy)
    for namespace in namespaces:
        world.add("one", namespace=namespace)
    return world


def test_the_inventory_is_widened_before_anything_is_created():
    world = in_namespaces("team-a", "team-b")
    world.apply()
    assert world.seen.writes[:2] == [f"apply ConfigMap {NAME}"] * 2
    kinds = ["ConfigMap", "NetworkPolicy", "Pod", "Service", "ServiceAccount"]
    for namespace in ("team-a", "team-b"):
        found, namespaces = inventory(world, namespace)
        assert sorted(found) == kinds
        assert namespaces == ["team-a", "team-b"]


def test_without_its_inventory_nothing_is_created_in_a_namespace():
    world = in_namespaces("team-a", "team-b")
    passed = world.apply(Times(NO, "apply", name=NAME, namespace="team-a", times=always))
    assert passed.failures == ("the inventory could not be written: no such right",)
    assert world.names("team-a") == []
    assert "Pod one-runner" in world.names("team-b")
    assert not world.apply().failures
    assert is_quiet(world.plan().plan)


def test_a_foreign_object_of_that_name_is_refused_and_left_alone():
    world = in_namespaces("team-a", "team-b")
    metadata = {"name": NAME, "namespace": "team-a"}
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}
    before = world.cluster.create(foreign, "stranger")
    passed = world.apply()
    assert len(passed.failures) == 1
    assert f"ConfigMap team-a/{NAME} is a foreign object" in passed.failures[0]
    assert "choose another installation id" in passed.failures[0]
    assert world.get("ConfigMap", NAME) == before
    assert world.names("team-a") == [f"ConfigMap {NAME}"]
    assert "Pod one-runner" in world.names("team-b")


def test_a_copy_that_appeared_meanwhile_is_ours_all_the_same():
    world = declared()
    reconciler = world.reconciler()
    planned = reconciler.plan(world.desired(), {})
    world.cluster.apply(
        build_inventory_body("default", "team-a", Inventory(), BudgetUsage(), ObjectMetadata()),
        ApplyOptions(FIELD_MANAGER),
    )
    assert not world.carry_out(reconciler, planned).failures
    assert inventory(world)[1] == ["team-a"]


def test_objects_of_a_kind_that_no_template_makes_any_more_are_found():
    world = declared(templates={**SHIPPED, "key.yaml.j2": SECRET})
    world.apply()
    assert "Secret one-key" in world.names()
    del world.templates["key.yaml.j2"]
    rebuilt(world)
    passed = world.apply()
    assert passed.of(Status.DELETED) == ["Secret team-a/one-key"]
    assert "Secret" not in inventory(world)[0]
    assert is_quiet(world.plan().plan)


def rebuilt(world):
    world.builder = type(world.builder)(world.templates)


def test_a_namespace_whose_folder_is_gone_is_found_and_then_forgotten():
    world = in_namespaces("team-a", "team-b")
    world.apply()
    del world.files["team-b/one.yaml"]
    passed = world.apply()
    assert len(passed.of(Status.DELETED)) == 6
    assert world.names("team-b") == []
    assert inventory(world)[1] == ["team-a"]
    assert is_quiet(world.plan().plan)


def test_the_last_session_takes_its_inventory_along():
    world = in_namespaces("team-a")
    world.apply()
    del world.files["team-a/one.yaml"]
    world.apply(folders=["team-a"])
    assert world.objects() == []


def test_one_copy_is_enough_to_find_all_namespaces():
    world = in_namespaces("team-a", "team-b", "team-c")
    world.apply()
    for namespace in ("team-b", "team-c"):
        world.remove("ConfigMap", NAME, namespace)
        del world.files[f"{namespace}/one.yaml"]
    assert len(world.apply().of(Status.DELETED)) == 12
    assert inventory(world)[1] == ["team-a"]
    assert {obj["metadata"]["namespace"] for obj in world.objects()} == {"team-a"}


def test_what_is_held_stays_in_the_inventory():
    world = in_namespaces("team-a", "team-b")
    world.apply()
    del world.files["team-b/one.yaml"]
    world.options = type(world.options)(prune=False, concurrency=1)
    passed = world.apply()
    reasons = {o.change.reason for o in passed.outcomes if isinstance(o.change, Hold)}
    assert reasons == {HoldReason.NO_PRUNE}
    assert inventory(world)[1] == ["team-a", "team-b"]


def test_what_could_not_be_deleted_stays_in_the_inventory():
    world = in_namespaces("team-a", "team-b")
    world.apply()
    del world.files["team-b/one.yaml"]
    world.apply(Times(NO, "delete", "Service", times=always))
    assert inventory(world)[1] == ["team-a", "team-b"]
    world.apply()
    assert world.names("team-b") == []


def test_a_namespace_that_cannot_be_read_stays_in_the_inventory():
    world = in_namespaces("team-a", "team-b")
    world.apply()
    del world.files["team-b/one.yaml"]
    world.apply(Times(NO, "list", "Pod", namespace="team-b", times=always))
    assert inventory(world)[1] == ["team-a", "team-b"]
    world.apply()
    assert world.names("team-b") == []


@pytest.mark.parametrize("damage", ["", "{", "3", '["x"]', "null"])
def test_a_damaged_inventory_is_rewritten(damage):
    world = in_namespaces("team-a")
    world.apply()
    for key in ("kinds", "namespaces"):
        write = {"op": "replace", "path": f"/data/{key}", "value": damage}
        world.edit("ConfigMap", NAME, write)
    assert is_quiet(world.plan().plan)
    world.apply()
    assert inventory(world)[1] == ["team-a"]


def emptied(verb, error, **where):
    """What a pass raises in which team-b is emptied and its copy cannot go."""
    world = in_namespaces("team-a", "team-b")
    world.apply()
    del world.files["team-b/one.yaml"]
    fault = Times(error, verb, name=NAME, times=always, **where)
    for _ in range(2):
        with pytest.raises(ClusterError) as caught:
            world.apply(fault)
    world.apply()
    assert world.names("team-b") == []
    assert inventory(world)[1] == ["team-a"]
    return str(caught.value)


def test_a_copy_that_cannot_be_deleted_is_reported_at_the_end_and_retried():
    message = emptied("delete", NO)
    assert message == "the inventory could not be deleted: no such right"


def test_a_copy_that_cannot_be_narrowed_is_reported_at_the_end_and_retried():
    message = emptied("apply", NO, namespace="team-a")
    assert message == "the inventory could not be written: no such right"


def test_a_copy_that_is_gone_already_is_as_good_as_deleted():
    world = in_namespaces("team-a", "team-b")
    world.apply()
    del world.files["team-b/one.yaml"]
    world.apply(Times(NotFoundError("gone"), "delete", name=NAME, late=True))
    assert world.names("team-b") == []


def test_a_failed_widening_is_not_reported_twice():
    world = in_namespaces("team-a", "team-b")
    passed = world.apply(Times(NO, "apply", name=NAME, namespace="team-a", times=always))
    assert len(passed.failures) == 1
