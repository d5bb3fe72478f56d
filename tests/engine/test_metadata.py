"""Labels and annotations of `defaults.yaml` are on every object, and change in place."""

import pytest

from reconcile.core.changes import Hold, Keep, MetadataOnly, Patch, Status
from reconcile.core.model import ANNOTATION_DIGEST
from tests.builders import ref_of
from tests.engine.fakes import LabelPolicy
from tests.engine.installation import declared, is_quiet, settled
from tests.session_files import defaults_text, policy_text

INVENTORY = "reconcile-inventory-default"
TEAM = "labels: {team: web}, annotations: {note: from all}"


def with_metadata(world, metadata):
    """Write defaults.yaml with this metadata in flow style; returns the installation."""
    world.files["defaults.yaml"] = defaults_text(metadata=metadata)
    return world


def labelled(world, key="team", value="web"):
    """Whether each object has this label, by its name."""
    return {
        f"{body['kind']} {body['metadata']['name']}": body["metadata"]["labels"].get(key) == value
        for body in world.objects()
    }


def test_every_object_has_them_from_its_first_write_on():
    world = with_metadata(declared("one", "two"), TEAM)
    passed = world.apply(wrap=lambda cluster: LabelPolicy(cluster, "team"))
    assert not passed.bad
    assert not passed.failures
    found = labelled(world)
    assert len(found) == 13
    assert f"ConfigMap {INVENTORY}" in found
    assert all(found.values()), found
    assert all(o["metadata"]["annotations"]["note"] == "from all" for o in world.objects())


def test_without_them_such_a_namespace_refuses_everything():
    world = declared()
    passed = world.apply(wrap=lambda cluster: LabelPolicy(cluster, "team"))
    assert passed.failures == (
        f"the inventory could not be written: {INVENTORY} lacks the label team",
    )
    assert world.objects() == []


def test_a_second_pass_writes_nothing():
    world = with_metadata(declared(), TEAM)
    world.apply()
    passed = world.apply()
    assert is_quiet(passed.plan)
    assert world.seen.writes == []


def test_what_is_new_is_a_patch_of_each_object_and_replaces_no_running_pod():
    world = settled()
    world.cluster.tick(60)
    uids = {o["metadata"]["name"]: o["metadata"]["uid"] for o in world.objects()}
    planned = with_metadata(world, TEAM).plan()
    assert planned.plan.changes
    for change in planned.plan.changes:
        assert isinstance(change, Patch)
        assert [(f.path, f.effect) for f in change.fields] == [
            ("metadata.labels.team", MetadataOnly()),
            ("metadata.annotations.note", MetadataOnly()),
        ]
    assert not world.apply().bad
    assert all(labelled(world).values())
    assert {o["metadata"]["name"]: o["metadata"]["uid"] for o in world.objects()} == uids
    assert is_quiet(world.plan().plan)


@pytest.mark.parametrize(
    ("metadata", "labels"), [("labels: {team: api}", {"team": "api"}), ("labels: {}", {})]
)
def test_a_new_value_and_a_removal_reach_the_inventory_too(metadata, labels):
    world = with_metadata(declared(), TEAM)
    world.apply()
    with_metadata(world, metadata).apply()
    for body in world.objects():
        found = body["metadata"]["labels"]
        assert {key: found[key] for key in found if key == "team"} == labels
        assert "note" not in body["metadata"].get("annotations", {})
    inventory = world.get("ConfigMap", INVENTORY)["metadata"]
    assert (ANNOTATION_DIGEST in inventory.get("annotations", {})) == bool(labels)
    world.apply()
    assert world.seen.writes == []


def test_an_inventory_that_lost_one_gets_it_back_though_nothing_else_is_to_be_done():
    world = with_metadata(declared(), TEAM)
    world.apply()
    world.edit("ConfigMap", INVENTORY, {"op": "remove", "path": "/metadata/labels/team"})
    passed = world.apply()
    assert is_quiet(passed.plan)
    assert world.seen.writes == [f"apply ConfigMap {INVENTORY}"]
    assert all(labelled(world).values())


def test_an_inventory_whose_label_admission_changes_is_written_once():
    world = with_metadata(declared(), TEAM)
    world.apply()
    operation = {"op": "replace", "path": "/metadata/labels/team", "value": "WEB"}
    world.edit("ConfigMap", INVENTORY, operation)
    world.apply()
    assert world.seen.writes == []


def test_held_work_is_not_in_the_way():
    world = settled().add("one", "llmSettings: {model: other}")
    world.cluster.tick(60)
    passed = with_metadata(world, TEAM).apply()
    [hold] = [o.change for o in passed.outcomes if isinstance(o.change, Hold)]
    assert hold.ref == ref_of("Pod", "one-runner")
    found = labelled(world)
    assert [name for name, is_there in found.items() if not is_there] == ["Pod one-runner"]


def ended():
    """A session that may be restarted, and whose work has ended, as the last pass has seen."""
    world = settled()
    world.files["policy.yaml"] = policy_text("allowRestarts: [team-a/one]")
    world.cluster.tick(60)
    world.cluster.finish(ref_of("Pod", "one-runner"), 0)
    world.apply()
    return world


def test_work_that_has_ended_does_not_begin_again_for_a_label():
    world = ended()
    world.remove("Pod", "one-runner")
    passed = with_metadata(world, TEAM).apply()
    assert not passed.of(Status.CREATED)
    assert passed.of(Status.CONFIGURED)
    assert is_quiet(world.plan().plan)
    assert world.add("one", "initialPrompt: new").apply().of(Status.CREATED) == [
        "Pod team-a/one-runner"
    ]


def test_work_that_has_ended_and_whose_pod_got_a_label_does_not_begin_again():
    world = ended()
    with_metadata(world, TEAM).apply()
    assert world.seen.writes.count("apply ConfigMap session-one") == 2
    world.remove("Pod", "one-runner")
    world.apply()
    assert all(isinstance(change, Keep) for change in world.plan().plan.changes)
    assert "Pod one-runner" not in world.names()
