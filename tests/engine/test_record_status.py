"""What a pass leaves in a session's Record, and when it leaves the Record alone."""

import json
from typing import Any

import pytest

from reconcile.core.changes import Status
from reconcile.core.errors import ForbiddenError
from tests.engine.fakes import Times, always
from tests.engine.installation import is_quiet, settled
from tests.session_files import OTHER_POD

NO = ForbiddenError("no such right")
PENDING = ["Replace Pod team-a/one-runner: RUNNING_WORK"]
RECORD: dict[str, Any] = {"verb": "apply", "kind": "ConfigMap", "name": "session-one"}


def record_status(world):
    return json.loads(world.get("ConfigMap", "session-one")["data"]["status"])


def record_writes(world):
    return world.seen.writes.count("apply ConfigMap session-one")


def test_a_first_pass_leaves_its_revision_and_the_digest_of_the_session():
    world = settled()
    assert record_status(world) == {
        "revision": "r1",
        "digest": world.desired().sessions[0].session.digest,
        "pending": [],
        "failed": [],
        "ended": [],
        "failed_starts": 0,
        "failed_start_time": "",
        "flush": {"pod": "", "unflushed": None},
        "admitted": {},
    }


def test_a_commit_that_does_not_touch_a_session_does_not_touch_its_record():
    world = settled("one", "two").add("two", "initialPrompt: work\nrunner: {port: 8002}")
    version = world.get("ConfigMap", "session-one")["metadata"]["resourceVersion"]
    world.apply(revision="r2")
    assert world.get("ConfigMap", "session-one")["metadata"]["resourceVersion"] == version


def test_a_commit_that_changes_something_is_in_the_status():
    world = settled()
    world.files["team-a/one.yaml"] += "  network: {allowFrom: [{namespace: ui}]}\n"
    world.apply(revision="r2")
    assert record_status(world)["revision"] == "r2"


def test_a_held_change_is_in_the_status_until_it_is_released():
    world = settled().add("one", OTHER_POD)
    world.apply(revision="r2")
    assert record_status(world)["pending"] == PENDING
    world.apply(revision="r3")
    assert record_writes(world) == 0
    assert record_status(world)["revision"] == "r2"
    world.remove("Pod", "one-runner")
    world.apply(revision="r4")
    assert record_status(world)["pending"] == []
    assert is_quiet(world.plan().plan)


def test_a_released_change_leaves_the_status_without_other_changes():
    world = settled().add("one", OTHER_POD)
    world.apply(revision="r2")
    world.add("one", "initialPrompt: work")
    world.apply(revision="r3")
    assert record_status(world)["pending"] == []


def test_a_failure_leaves_the_status_in_a_pass_without_changes():
    world = settled()
    write = {"op": "replace", "path": "/data/INITIAL_PROMPT", "value": "theirs"}
    world.edit("ConfigMap", "one-inputs", write)
    world.apply(Times(NO, "apply", name="one-inputs", times=always), revision="r2")
    assert record_status(world)["failed"] == ["no such right"]
    world.edit("ConfigMap", "one-inputs", {**write, "value": "work"})
    world.apply(revision="r3")
    assert record_status(world)["failed"] == []
    assert {o.status for o in world.apply().outcomes} == {Status.UNCHANGED}


def test_a_status_that_cannot_be_written_is_reported_and_changes_no_outcome():
    world = settled()
    world.files["team-a/one.yaml"] += "  network: {allowFrom: [{namespace: ui}]}\n"
    passed = world.apply(Times(NO, **RECORD))
    assert not passed.bad
    assert passed.failures == ("team-a/one: the Record could not be updated: no such right",)


def test_a_session_without_a_record_has_no_status():
    world = settled("one")
    world.add("two")
    passed = world.apply(Times(NO, "apply", name="session-two", times=always))
    assert not passed.failures
    assert passed.of(Status.CREATED) == []


def test_a_removed_session_gets_no_status():
    world = settled("one", "two")
    del world.files["team-a/two.yaml"]
    world.apply()
    assert "apply ConfigMap session-two" not in world.seen.writes


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"revision": 1}', "null", '{"pending": 3}'])
def test_a_damaged_status_in_a_record_counts_as_empty(damage):
    world = settled()
    write = {"op": "replace", "path": "/data/status", "value": damage}
    world.edit("ConfigMap", "session-one", write)
    assert {o.status for o in world.apply().outcomes} == {Status.UNCHANGED}
    world.files["team-a/one.yaml"] += "  network: {allowFrom: [{namespace: ui}]}\n"
    assert not world.apply(revision="r2").bad
    assert record_status(world)["revision"] == "r2"


def test_a_lost_status_is_not_a_difference():
    world = settled()
    world.edit("ConfigMap", "session-one", {"op": "remove", "path": "/data/status"})
    assert is_quiet(world.plan().plan)
