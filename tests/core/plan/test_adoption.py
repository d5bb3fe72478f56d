"""Adoption of foreign objects."""

from reconcile.core.changes import (
    Create,
    Hold,
    HoldReason,
    Patch,
    Replace,
)
from reconcile.core.model import ANNOTATION_ADOPT
from reconcile.core.plan.adoption import ForeignObjects
from tests.builders import (
    config_map,
    container,
    foreign_object,
    live_ref,
    live_session,
    pod,
    service,
    wanted,
)
from tests.core.plan.session_plans import RECREATE, changes


def adopt(of, theirs, **fields):
    manifest = of.manifests[-1]
    given = foreign_object(theirs.manifests[-1], annotations={ANNOTATION_ADOPT: "default"})
    foreign = ForeignObjects(adoptable={manifest.ref: given})
    return changes([of], live_session(of)[:1], foreign, **fields)[-1]


def test_an_adopted_object_is_patched_by_force_and_gets_labels_and_an_owner():
    patch = adopt(wanted(service(type="NodePort")), wanted(service()))
    assert isinstance(patch, Patch)
    assert (patch.force, patch.adopts) == (True, True)
    assert patch.live == live_ref(patch.ref)
    assert {field.path for field in patch.fields} == {
        "metadata.labels[reconcile.ambient-code.io/installation]",
        "metadata.labels[reconcile.ambient-code.io/session]",
        "metadata.ownerReferences",
        "spec.type",
    }


def test_an_object_that_can_only_be_replaced_is_not_adopted():
    held = adopt(wanted(pod(nodeName="n")), wanted(pod()))
    assert isinstance(held, Hold)
    assert isinstance(held.change, Replace)
    assert held.reason is HoldReason.CANNOT_ADOPT


def test_adopting_a_pod_does_not_restart_it():
    image = pod(containers=[container(image="runner:2")])
    held = adopt(wanted(image), wanted(pod()))
    assert isinstance(held, Hold)
    assert held.reason is HoldReason.RUNNING_WORK
    assert isinstance(adopt(wanted(image, of=RECREATE), wanted(pod(), of=RECREATE)), Patch)


def test_an_adopted_record_has_no_owner():
    of = wanted(config_map())
    record = foreign_object(of.manifests[0], annotations={ANNOTATION_ADOPT: "default"})
    foreign = ForeignObjects(adoptable={of.manifests[0].ref: record})
    adopted, create = changes([of], [], foreign)
    assert isinstance(adopted, Patch)
    assert "metadata.ownerReferences" not in {field.path for field in adopted.fields}
    assert create == Create(of.manifests[1])


def test_what_became_ours_while_it_was_looked_at_is_adopted_with_nothing_to_change():
    of = wanted(config_map())
    record = live_session(of)[0]
    adopted, _ = changes([of], [], ForeignObjects(adoptable={of.manifests[0].ref: record}))
    assert adopted == Patch(
        of.manifests[0], live_ref(of.manifests[0].ref), (), (), force=True, adopts=True
    )
