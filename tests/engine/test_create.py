"""Sessions are created object by object; what fails stops its session and no other."""

import pytest

from reconcile.core.changes import Status
from reconcile.core.errors import ForbiddenError
from tests.engine.fakes import Times, always
from tests.engine.installation import declared, is_quiet, settled
from tests.session_files import OTHER_POD

NO = ForbiddenError("no such right")
ORDER = [
    "ConfigMap session-one",
    "ServiceAccount session-one",
    "ConfigMap one-inputs",
    "NetworkPolicy session-one",
    "Service session-one",
    "Pod one-runner",
]
INVENTORY = "ConfigMap reconcile-inventory-default"
CHANGED = "{initialPrompt: changed, displayName: One, update: {strategy: Recreate}}"


def test_objects_are_created_in_order_and_belong_to_the_record():
    world = declared()
    passed = world.apply()
    assert [f"{o.change.ref.kind} {o.change.ref.name}" for o in passed.outcomes] == ORDER
    uid = world.get("ConfigMap", "session-one")["metadata"]["uid"]
    owners = {
        f"{obj['kind']} {obj['metadata']['name']}": obj["metadata"].get("ownerReferences")
        for obj in world.ours()
    }
    assert owners.pop(INVENTORY) is None
    assert owners.pop(ORDER[0]) is None
    assert sorted(owners) == sorted(ORDER[1:])
    for references in owners.values():
        found = [(r["uid"], r["controller"], r["blockOwnerDeletion"]) for r in references]
        assert found == [(uid, True, False)]


def test_a_second_pass_writes_nothing():
    world = settled("one", "two")
    passed = world.apply()
    assert is_quiet(passed.plan)
    assert [o.change for o in passed.outcomes] == list(passed.plan.changes)
    assert {o.status for o in passed.outcomes} == {Status.UNCHANGED}
    assert world.seen.writes == []


def test_a_failure_stops_its_session_only_and_the_rest_says_why_it_was_skipped():
    world = declared("one", "two")
    passed = world.apply(Times(NO, "apply", name="one-inputs", times=always))
    assert passed.of(Status.FAILED) == ["ConfigMap team-a/one-inputs"]
    skipped = {str(o.change.ref): o.message for o in passed.outcomes if o.status is Status.SKIPPED}
    assert list(skipped) == [each.replace(" ", " team-a/") for each in ORDER[3:]]
    assert set(skipped.values()) == {"ConfigMap team-a/one-inputs failed before it"}
    assert "Pod two-runner" in world.names()
    assert "Pod one-runner" not in world.names()


def test_the_next_pass_ends_what_a_failure_has_left_half_done():
    world = declared()
    world.apply(Times(NO, "apply", name="one-inputs", times=always))
    passed = world.apply()
    assert passed.of(Status.CREATED) == [each.replace(" ", " team-a/") for each in ORDER[2:]]
    assert is_quiet(world.plan().plan)


def test_without_its_record_nothing_of_a_session_is_created():
    world = declared()
    passed = world.apply(Times(NO, "apply", name="session-one", times=always))
    assert passed.of(Status.CREATED) == []
    assert world.names() == [INVENTORY]


def test_what_needs_nothing_is_not_called_skipped_when_something_before_it_fails():
    world = settled().add("one", CHANGED)
    passed = world.apply(Times(NO, "apply", "ConfigMap", "session-one", times=always))
    assert passed.of(Status.FAILED) == ["ConfigMap team-a/session-one"]
    assert passed.of(Status.UNCHANGED) == [
        "ServiceAccount team-a/session-one",
        "NetworkPolicy team-a/session-one",
        "Service team-a/session-one",
    ]
    assert passed.of(Status.SKIPPED) == ["ConfigMap team-a/one-inputs", "Pod team-a/one-runner"]


def test_what_is_held_is_still_called_held_when_something_before_it_fails():
    world = settled().add("one", OTHER_POD)
    passed = world.apply(Times(NO, "apply", "ConfigMap", "session-one", times=always))
    assert passed.of(Status.HELD) == ["Pod team-a/one-runner"]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_sessions_are_worked_on_by_as_many_threads_as_are_allowed(concurrency):
    world = declared(*(f"s{number}" for number in range(8)))
    world.options = type(world.options)(concurrency=concurrency)
    assert len(world.apply().of(Status.CREATED)) == 48
    assert is_quiet(world.plan().plan)


def test_a_missing_object_gets_the_owner_that_lives():
    world = settled()
    uid = world.get("ConfigMap", "session-one")["metadata"]["uid"]
    world.remove("Service", "session-one")
    passed = world.apply()
    assert passed.of(Status.CREATED) == ["Service team-a/session-one"]
    owners = world.get("Service", "session-one")["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == [uid]


def test_an_object_whose_record_was_lost_gets_the_new_one_as_its_owner():
    world = settled()
    for name in ("one-runner", "session-one"):
        kind = "Pod" if name == "one-runner" else "Service"
        path = "/metadata/ownerReferences"
        world.edit(kind, name, {"op": "remove", "path": path})
    world.remove("ConfigMap", "session-one")
    passed = world.apply()
    assert not passed.bad
    uid = world.get("ConfigMap", "session-one")["metadata"]["uid"]
    for kind, name in (each.split() for each in ORDER[1:]):
        owners = world.get(kind, name)["metadata"]["ownerReferences"]
        assert [owner["uid"] for owner in owners] == [uid], name
    assert is_quiet(world.plan().plan)
