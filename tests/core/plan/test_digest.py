"""The digest names what is to be made of what, and nothing that only lives."""

from dataclasses import replace

import pytest

from reconcile.core.changes import (
    Commit,
    Create,
    Delete,
    DeleteReason,
    Drift,
    FieldChange,
    ForcesReplace,
    Hold,
    HoldReason,
    InPlace,
    Keep,
    LiveRef,
    Patch,
    Plan,
    Replace,
    RestartsContainer,
    SessionPlan,
)
from reconcile.core.plan.approval import (
    ChangeClass,
    compute_plan_digest,
    iter_committed_changes,
    iter_planned_changes,
)
from tests.builders import config_map, live_ref, manifest, pod, service, session_id

POD, SERVICE, INPUTS = manifest(pod()), manifest(service()), manifest(config_map())


def field(effect, cause=None, path="spec.x", before=1):
    return FieldChange(path, before, 2, effect, cause or Commit())


def patch(of, *effects, **fields):
    changed = tuple(field(effect) for effect in effects or (InPlace(),))
    return Patch(of, live_ref(of.ref), changed, (), **fields)


def replaced(of, *effects):
    changed = tuple(field(effect) for effect in effects or (ForcesReplace(),))
    return Replace(of, live_ref(of.ref), changed)


def delete(of, reason=DeleteReason.SESSION_REMOVED):
    return Delete(of.ref, of.kind, live_ref(of.ref), reason)


def plan(*changes, installation="default", revision="r"):
    return Plan(installation, revision, (SessionPlan(session_id(), changes),))


def digest(*changes, **fields):
    return compute_plan_digest(plan(*changes, **fields))


CHANGES = [
    Create(SERVICE),
    patch(SERVICE),
    patch(SERVICE, adopts=True),
    replaced(SERVICE),
    delete(SERVICE),
    delete(SERVICE, DeleteReason.NOT_RENDERED),
    Create(manifest(service(type="NodePort"))),
    Create(INPUTS),
    replaced(POD),
    delete(POD, DeleteReason.SESSION_STOPPED),
]


def test_every_change_of_class_object_and_body_has_its_own_digest():
    assert len({digest(change) for change in CHANGES} | {digest()}) == len(CHANGES) + 1


def test_another_installation_has_another_digest():
    assert digest(CHANGES[0]) != digest(CHANGES[0], installation="other")


def test_the_order_does_not_matter():
    assert digest(*CHANGES[6:]) == digest(*reversed(CHANGES[6:]))


def test_revisions_uids_and_live_values_are_not_in_it():
    other = LiveRef("another", "99")
    one, two, gone = patch(SERVICE), replaced(POD), delete(INPUTS)
    moved = (
        replace(one, live=other, fields=(field(InPlace(), before="else"),), operations=({},)),
        replace(two, live=other),
        replace(gone, live=other, is_terminating=True),
    )
    assert digest(one, two, gone) == digest(*moved, revision="another")


@pytest.mark.parametrize("reason", HoldReason)
def test_whether_a_change_waits_is_not_in_it(reason):
    assert digest(Hold(replaced(POD), reason)) == digest(replaced(POD))


def test_what_stays_as_it_is_is_not_in_it():
    assert digest(Keep(SERVICE.ref, live_ref(SERVICE.ref), "d")) == digest()


def test_a_new_image_is_a_restart_whether_or_not_the_pod_has_ended():
    """A pod that has ended must be replaced for what restarts a container of a running one."""
    assert digest(patch(POD, RestartsContainer("runner"))) == digest(replaced(POD))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (Create(POD), ChangeClass.CREATE),
        (patch(POD, InPlace()), ChangeClass.PATCH),
        (patch(POD, InPlace(), RestartsContainer("runner")), ChangeClass.RESTART),
        (replaced(POD, InPlace(), ForcesReplace()), ChangeClass.RESTART),
        (replaced(SERVICE, ForcesReplace()), ChangeClass.REPLACE),
        (patch(SERVICE, adopts=True), ChangeClass.ADOPT),
        (Hold(delete(POD), HoldReason.DELETE_BUDGET), ChangeClass.DELETE),
    ],
)
def test_the_class_of_a_change(change, kind):
    assert [deed.change_class for deed in iter_planned_changes(plan(change))] == [kind]


def test_drift_alone_is_not_a_committed_change():
    drifted = replace(patch(SERVICE), fields=(field(InPlace(), Drift("kubectl")),))
    kept = Keep(INPUTS.ref, live_ref(INPUTS.ref), "d")
    assert list(iter_committed_changes(plan(drifted, kept))) == []
    assert len(list(iter_planned_changes(plan(drifted)))) == 1


def test_without_drift_a_change_is_what_the_commit_makes_of_it():
    fields = (field(ForcesReplace(), Drift()), field(InPlace()))
    both = replace(replaced(POD), fields=fields)
    assert [deed.change_class for deed in iter_planned_changes(plan(both))] == [ChangeClass.RESTART]
    assert [deed.change_class for deed in iter_committed_changes(plan(both))] == [ChangeClass.PATCH]


def test_a_change_without_fields_is_a_committed_change():
    changes = (Create(POD), delete(INPUTS), replace(patch(SERVICE, adopts=True), fields=()))
    assert len(list(iter_committed_changes(plan(*changes)))) == 3
