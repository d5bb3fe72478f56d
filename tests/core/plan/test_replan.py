import pytest

from reconcile.core.changes import Keep, LiveRef, Patch
from reconcile.core.model import UpdateStrategy, build_record_ref
from reconcile.core.plan.planner import replan
from tests.builders import (
    config_map,
    container,
    desired,
    foreign_object,
    live_session,
    plan,
    pod,
    session,
    session_id,
    taken_over,
    terminating,
    uid_of,
    wanted,
)

OWNER = uid_of(build_record_ref(session_id()))
RECREATE = session(strategy=UpdateStrategy.RECREATE)


def case(before, after, of=None):
    """A planned patch of one object, and that object as it lives."""
    before, after = wanted(before, of=of), wanted(after, of=of)
    objects = live_session(before)
    patch = plan(desired(after), objects).changes[-1]
    assert isinstance(patch, Patch)
    return patch, objects[-1]


def files(**data):
    return config_map(data=data)


def labelled(value, **spec):
    return pod(metadata={"labels": {"a": value}}, **spec)


def newer(obj, **metadata):
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": "2", **metadata}}


def test_what_is_as_it_was_is_patched_as_planned_at_its_new_version():
    patch, obj = case(files(a="1"), files(a="2"))
    revised = replan(patch, newer(obj), OWNER, {})
    assert revised == Patch(
        patch.manifest, LiveRef(patch.live.uid, "2"), patch.fields, patch.operations
    )


def test_a_field_changed_meanwhile_is_taken_over_by_force():
    patch, obj = case(files(a="1", b="1"), files(a="2", b="1"))
    obj["data"] = {"a": "1", "b": "x"}
    revised = replan(patch, taken_over(newer(obj), {"f:data": {"f:b": {}}}), OWNER, {})
    assert isinstance(revised, Patch)
    assert revised.force
    assert {field.path for field in revised.fields} == {"data.a", "data.b"}


def test_a_patch_by_force_stays_one():
    after = wanted(files(a="1"))
    obj = foreign_object(after.manifests[1])
    patch = Patch(
        after.manifests[1], LiveRef(obj["metadata"]["uid"], "1"), (), (), force=True, adopts=True
    )
    revised = replan(patch, newer(obj), OWNER, {})
    assert isinstance(revised, Patch)
    assert (revised.force, revised.adopts) == (True, True)
    assert "metadata.ownerReferences" in {field.path for field in revised.fields}


def test_what_has_become_as_wanted_is_kept():
    patch, _ = case(files(a="1"), files(a="2"))
    obj = newer(live_session(wanted(files(a="2")))[1])
    assert replan(patch, obj, OWNER, {}) == Keep(
        patch.ref, LiveRef(patch.live.uid, "2"), patch.manifest.digest
    )


def test_a_record_needs_no_owner():
    after = wanted(of=session(spec={"displayName": "New"}))
    objects = live_session(wanted())
    patch = plan(desired(after), objects).changes[0]
    assert isinstance(patch, Patch)
    revised = replan(patch, newer(objects[0]), OWNER, {})
    assert isinstance(revised, Patch)
    assert [field.path for field in revised.fields] == ["data.displayName"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda obj: newer(obj, uid="another"),
        terminating,
        lambda obj: {**newer(obj), "immutable": True},
    ],
    ids=["another object", "one that is being deleted", "one that must be replaced"],
)
def test_what_the_plan_did_not_allow_is_left_to_the_next_pass(spoil):
    patch, obj = case(files(a="1"), files(a="2"))
    assert replan(patch, spoil(obj), OWNER, {}) is None


def test_a_patch_that_ended_no_work_does_not_become_one_that_does():
    patch, obj = case(labelled("1"), labelled("2"))
    other = newer(live_session(wanted(labelled("1", containers=[container(image="runner:2")])))[-1])
    assert other["metadata"]["uid"] == obj["metadata"]["uid"]
    assert replan(patch, other, OWNER, {}) is None


def test_a_patch_that_was_to_end_work_may_do_so():
    patch, obj = case(pod(), pod(containers=[container(image="runner:2")]), RECREATE)
    assert isinstance(replan(patch, newer(obj), OWNER, {}), Patch)
