"""Passes on a cluster whose admission changes what is applied."""

import json
from functools import partial

from reconcile.core.canonical_json import compute_digest
from reconcile.core.changes import Drift, Patch, Status
from reconcile.core.model import LABEL_INSTALLATION
from tests.builders import ref_of
from tests.engine.fakes import MutatingCluster
from tests.engine.installation import EmbeddedInstallation, is_quiet

RECREATE = "update: {strategy: Recreate}"


def rewrite(body):
    """Take images from a mirror registry, and shout prompts."""
    if prompt := body.get("data", {}).get("INITIAL_PROMPT"):
        body["data"]["INITIAL_PROMPT"] = prompt.upper()
    for container in body.get("spec", {}).get("containers", ()):
        if not container["image"].startswith("mirror.example/"):
            container["image"] = f"mirror.example/{container['image']}"


REWRITING = partial(MutatingCluster, mutate=rewrite)


def test_a_rewritten_image_is_remembered_and_a_commit_is_still_a_patch():
    world = EmbeddedInstallation().add("one", f"initialPrompt: work\n{RECREATE}")
    assert not world.apply(wrap=REWRITING).bad
    assert is_quiet(world.plan().plan)
    pod = world.get("Pod", "one-runner")
    first = pod["metadata"]["uid"]
    world.add("one", f"initialPrompt: work\nrunner: {{image: other/r}}\n{RECREATE}")
    passed = world.apply(wrap=REWRITING)
    assert "Pod team-a/one-runner" in passed.of(Status.CONFIGURED)
    pod = world.get("Pod", "one-runner")
    assert pod["metadata"]["uid"] == first
    assert pod["spec"]["containers"][0]["image"] == "mirror.example/other/r"
    assert is_quiet(world.plan().plan)


def rewritten():
    world = EmbeddedInstallation().add("one")
    assert not world.apply(wrap=REWRITING).bad
    return world


def test_it_is_remembered_in_the_record_which_is_read_after_other_objects():
    world = rewritten()
    inputs = world.get("ConfigMap", "one-inputs")
    assert inputs["data"]["INITIAL_PROMPT"] == "WORK"
    assert inputs["metadata"]["name"] < world.get("ConfigMap", "session-one")["metadata"]["name"]
    passed = world.apply(wrap=REWRITING)
    assert is_quiet(passed.plan)
    assert world.seen.writes == []
    assert is_quiet(world.plan(memo=passed.planned.live_state.objects).plan)


def test_an_object_that_lost_its_label_gets_it_back_and_nothing_else():
    world = rewritten()
    label = LABEL_INSTALLATION.replace("/", "~1")
    world.edit("Pod", "one-runner", {"op": "remove", "path": f"/metadata/labels/{label}"})
    [patch] = [c for c in world.plan().plan.changes if isinstance(c, Patch)]
    assert [field.path for field in patch.fields] == [f"metadata.labels[{LABEL_INSTALLATION}]"]


def test_an_object_that_was_changed_during_the_pass_keeps_what_admission_made_of_it():
    world = rewritten().add("one", "initialPrompt: work\ndisplayName: One")
    pod = ref_of("Pod", "one-runner")
    label = {"op": "add", "path": "/metadata/labels/other", "value": "x"}
    planned = world.plan()
    world.cluster.edit(pod, [label], "stranger")
    done = world.carry_out(world.reconciler(wrap=REWRITING), planned)
    assert done.bad == []
    assert is_quiet(world.plan().plan)


def test_a_change_by_hand_is_drift_whatever_the_annotations_of_the_object_say():
    """Earlier versions remembered in an annotation, which is not believed."""
    world = EmbeddedInstallation().add("one")
    world.apply()
    note = json.dumps({"f:data/f:INITIAL_PROMPT": [short("work"), short("steal")]})
    world.edit(
        "ConfigMap",
        "one-inputs",
        {"op": "replace", "path": "/data/INITIAL_PROMPT", "value": "steal"},
        {
            "op": "add",
            "path": "/metadata/annotations/reconcile.ambient-code.io~1admission",
            "value": note,
        },
    )
    [patch] = [c for c in world.plan().plan.changes if isinstance(c, Patch)]
    [field] = patch.fields
    assert (field.path, field.before, field.after) == ("data.INITIAL_PROMPT", "steal", "work")
    assert field.cause == Drift("stranger", "2026-01-31T12:00:00Z")


def test_a_rewritten_value_that_is_changed_by_hand_is_drift():
    world = rewritten()
    operation = {"op": "replace", "path": "/data/INITIAL_PROMPT", "value": "Work"}
    world.edit("ConfigMap", "one-inputs", operation)
    [patch] = [c for c in world.plan().plan.changes if isinstance(c, Patch)]
    assert patch.fields[0].cause == Drift("stranger", "2026-01-31T12:00:00Z")
    assert not world.apply(wrap=REWRITING).bad
    assert is_quiet(world.plan().plan)


def short(value):
    return compute_digest(value)[:23]
