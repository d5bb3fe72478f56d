"""An object that has lost the label of the installation is still ours, by its owner."""

import pytest

from reconcile.core.changes import Create, Hold, HoldReason, Patch, Status
from reconcile.core.model import LABEL_INSTALLATION
from tests.engine.installation import is_quiet, settled

LABEL = f"/metadata/labels/{LABEL_INSTALLATION.replace('/', '~1')}"
OBJECTS = [
    ("Service", "session-one"),
    ("Pod", "one-runner"),
    ("ConfigMap", "one-inputs"),
    ("NetworkPolicy", "session-one"),
]


@pytest.mark.parametrize(("kind", "name"), OBJECTS)
def test_the_label_is_put_back(kind, name):
    world = settled()
    uid = world.get(kind, name)["metadata"]["uid"]
    world.edit(kind, name, {"op": "remove", "path": LABEL})
    planned = world.plan().plan
    [patch] = [change for change in planned.changes if isinstance(change, Patch)]
    assert [field.path for field in patch.fields] == [f"metadata.labels[{LABEL_INSTALLATION}]"]
    passed = world.apply()
    assert passed.of(Status.CONFIGURED) == [f"{kind} team-a/{name}"]
    assert not passed.bad
    assert world.get(kind, name)["metadata"]["uid"] == uid
    assert is_quiet(world.plan().plan)


@pytest.mark.parametrize(("kind", "name"), OBJECTS)
def test_all_labels_may_be_lost(kind, name):
    world = settled()
    world.edit(kind, name, {"op": "remove", "path": "/metadata/labels"})
    assert not world.apply().bad
    assert is_quiet(world.plan().plan)


def test_what_has_the_label_of_another_installation_is_foreign():
    world = settled()
    world.edit("Service", "session-one", {"op": "replace", "path": LABEL, "value": "another"})
    held = [each for each in world.plan().plan.changes if isinstance(each, Hold)]
    assert isinstance(held[0].change, Create)
    assert held[0].reason is HoldReason.TAKEN
