"""A pod has its Record's UID as an annotation, which only an apply writes and no plan shows."""

import pytest

from reconcile.core.changes import Patch, Status
from reconcile.core.model import ANNOTATION_RECORD_UID
from tests.builders import ref_of
from tests.engine.fakes import FlakyCluster
from tests.engine.installation import declared, is_quiet, settled
from tests.session_files import defaults_text, policy_text

POINTER = f"/metadata/annotations/{ANNOTATION_RECORD_UID.replace('/', '~1')}"
LABELS = defaults_text(metadata="labels: {team: web}")


def uid_in(body):
    return body["metadata"].get("annotations", {}).get(ANNOTATION_RECORD_UID)


def record_uid(world):
    return world.get("ConfigMap", "session-one")["metadata"]["uid"]


def pod_patch(world):
    [patch] = [
        each
        for each in world.plan().plan.changes
        if isinstance(each, Patch) and each.ref == ref_of("Pod", "one-runner")
    ]
    return patch


def taken(world, value="theirs"):
    """Another manager sets the annotation, and a label is to be added to all objects."""
    world.edit("Pod", "one-runner", {"op": "replace", "path": POINTER, "value": value})
    world.files["defaults.yaml"] = LABELS
    return world


def test_the_pod_alone_gets_the_uid_of_its_record():
    world = settled()
    found = {body["kind"]: uid_in(body) for body in world.ours() if uid_in(body)}
    assert found == {"Pod": record_uid(world)}


def test_no_manifest_has_it():
    [wanted] = declared().desired().sessions
    assert not any(map(uid_in, (manifest.body for manifest in wanted.manifests)))


def test_it_is_nothing_to_do_and_a_patch_keeps_it():
    world = settled()
    assert is_quiet(world.plan().plan)
    world.files["defaults.yaml"] = LABELS
    assert [field.path for field in pod_patch(world).fields] == ["metadata.labels.team"]
    assert not any(ANNOTATION_RECORD_UID in str(each) for each in pod_patch(world).operations)
    assert not world.apply().bad
    assert uid_in(world.get("Pod", "one-runner")) == record_uid(world)
    assert is_quiet(world.plan().plan)


def test_a_pod_that_lacks_it_gets_it_with_the_next_patch():
    world = settled()
    world.edit("Pod", "one-runner", {"op": "remove", "path": POINTER})
    assert is_quiet(world.plan().plan)
    world.files["defaults.yaml"] = LABELS
    assert not world.apply().bad
    assert uid_in(world.get("Pod", "one-runner")) == record_uid(world)


def test_another_value_is_no_difference():
    world = settled()
    world.edit("Pod", "one-runner", {"op": "replace", "path": POINTER, "value": "theirs"})
    assert is_quiet(world.plan().plan)


@pytest.mark.parametrize("policy", ["onConflict: heal", "onConflict: report"])
def test_another_managers_value_stays_and_does_not_prevent_a_patch(policy):
    world = taken(settled())
    world.files["policy.yaml"] = policy_text(policy)
    passed = world.apply()
    assert not passed.bad
    assert "Pod team-a/one-runner" in passed.of(Status.CONFIGURED)
    pod = world.get("Pod", "one-runner")
    assert pod["metadata"]["labels"]["team"] == "web"
    assert uid_in(pod) == "theirs"
    assert is_quiet(world.plan().plan)


def test_it_is_taken_back_together_with_a_field_that_another_manager_owns():
    world = taken(settled())
    operation = {"op": "add", "path": "/metadata/labels/team", "value": "api"}
    world.edit("Pod", "one-runner", operation)
    assert not world.apply().bad
    assert uid_in(world.get("Pod", "one-runner")) == record_uid(world)


def test_a_record_that_was_made_again_gives_its_uid_with_the_next_patch():
    world = settled()
    before = record_uid(world)
    world.edit("Pod", "one-runner", {"op": "remove", "path": "/metadata/ownerReferences"})
    world.remove("ConfigMap", "session-one")
    world.apply()
    assert record_uid(world) != before
    assert uid_in(world.get("Pod", "one-runner")) == record_uid(world)
    assert is_quiet(world.plan().plan)


def test_the_plan_for_a_pod_without_its_record_names_the_owner_alone():
    world = settled()
    world.edit("Pod", "one-runner", {"op": "remove", "path": "/metadata/ownerReferences"})
    assert [field.path for field in pod_patch(world).fields] == ["metadata.ownerReferences"]


class Bodies:
    """A cluster that keeps the bodies of the applied pods."""

    def __init__(self, inner):
        self.inner = inner
        self.pods = []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def apply(self, body, options):
        if body["kind"] == "Pod":
            self.pods.append(body)
        return self.inner.apply(body, options)


@pytest.mark.parametrize("exists", [True, False])
def test_a_dry_run_sends_it_if_the_record_exists(*, exists):
    world = settled() if exists else declared()
    if exists:
        world.add("one", "runner: {port: 9000}\nupdate: {strategy: Recreate}")
    planned = world.plan()
    bodies = Bodies(FlakyCluster(world.cluster))
    world.reconciler(wrap=lambda _: bodies).dry_run(planned)
    uids = [uid_in(body) for body in bodies.pods]
    assert uids == ([record_uid(world)] if exists else [])
