"""A pod that ended before everything was stored leaves a trace in its Record."""

import json

import pytest

from reconcile.adapters.embedded.kubelet import update_pod_status
from reconcile.core.changes import Status
from reconcile.core.mask.masker import Masker
from reconcile.core.model import RECORD_STATUS_KEY
from reconcile.core.report.status import format_status
from reconcile.engine.status import read_status
from tests.engine.installation import declared, is_quiet

STORED = "initialPrompt: work\nstorage: {mode: shared}"
DEFAULTS = """
apiVersion: vteam.ambient-code/v1alpha1
kind: SessionDefaults
spec:
  storage: {sharedSecretName: s3-shared}
  image: "mirror:1"
  capabilities: {sidecar: native}
"""
RECREATE = f"{STORED}\nupdate: {{strategy: Recreate}}"
UNSEEN = "the pod was gone before its last flush was seen"
LATER = "2026-01-31T12:05:00Z"
PARTIAL = {
    "outcome": "partial",
    "generation": 17,
    "missingFiles": 3,
    "missingBytes": 2048,
    "reason": "out of time, token=ghp_" + "a1B2" * 9,
}


def working(spec=STORED, **fields):
    """A session at work whose workspace is kept."""
    world = declared(**fields).add("one", spec)
    world.files["defaults.yaml"] = DEFAULTS
    assert not world.apply().bad
    world.cluster.tick(60)
    world.apply()
    return world


def flush(world, exit_code, message=None, **status):
    """Let the mirror's sidecar end, and the pod with it."""
    pod = world.get("Pod", "one-runner")
    ended = {
        "exitCode": exit_code,
        "reason": "Error" if exit_code else "Completed",
        "finishedAt": LATER,
        "message": json.dumps(message) if message else "",
    }
    statuses = [
        {**each, "state": {"terminated": ended}} if each["name"] == "sync" else each
        for each in pod["status"]["initContainerStatuses"]
    ]
    new = {**pod["status"], "initContainerStatuses": statuses, **status}
    write = world.cluster._server.write
    write(lambda store: update_pod_status(store, pod, new, world.clock.now()))


def record(world):
    return json.loads(world.get("ConfigMap", "session-one")["data"][RECORD_STATUS_KEY])["flush"]


def shown(world):
    rows = read_status(world.cluster, world.clock, world.desired(), ["team-a"]).rows
    return format_status(rows, Masker())


def uid(world):
    return world.get("Pod", "one-runner")["metadata"]["uid"]


def test_a_partial_last_flush_is_noted_once_with_time_and_reason():
    world = working()
    flush(world, 8, PARTIAL, phase="Failed")
    world.apply()
    assert world.seen.writes == ["apply ConfigMap session-one"]
    trace = record(world)
    assert trace["pod"] == ""
    assert trace["unflushed"]["uid"] == uid(world)
    assert trace["unflushed"]["time"] == LATER
    reason = trace["unflushed"]["reason"]
    assert reason.startswith("not everything is stored: out of time, token=")
    assert reason.endswith("; the last generation is 17 and lacks 3 files with 2048 bytes")
    assert "ghp_" not in reason
    assert f"! a pod ended unflushed at {LATER}: {reason[:40]}" in shown(world)
    world.apply()
    assert world.seen.writes == []


def test_long_words_are_cut_once_they_are_masked():
    world = working()
    flush(world, 8, {**PARTIAL, "reason": "x" * 355 + PARTIAL["reason"]}, phase="Failed")
    world.apply()
    reason = record(world)["unflushed"]["reason"]
    assert len(reason) == 400
    assert "ghp_" not in reason


def test_an_eviction_is_named():
    world = working()
    flush(world, 137, phase="Failed", reason="Evicted")
    world.apply()
    reason = record(world)["unflushed"]["reason"]
    assert reason == "Evicted: sync ended with exit code 137 (Error)"


def test_a_pod_that_stored_everything_leaves_no_trace():
    world = working()
    flush(world, 0, phase="Succeeded")
    world.apply()
    assert record(world) == {"pod": "", "unflushed": None}
    world.remove("Pod", "one-runner")
    world.apply()
    assert record(world) == {"pod": "", "unflushed": None}
    assert "unflushed" not in shown(world)


def test_a_pod_that_vanished_unseen_is_noted_once_and_its_successor_is_followed():
    world = working()
    lost = uid(world)
    world.remove("Pod", "one-runner")
    world.clock.sleep(60)
    world.apply()
    trace = record(world)
    unflushed = {"uid": lost, "time": "2026-01-31T12:01:00Z", "reason": UNSEEN}
    assert trace == {"pod": uid(world), "unflushed": unflushed}
    assert f"12:01:00Z: {UNSEEN}" in shown(world)
    passed = world.apply()
    assert is_quiet(passed.plan)
    assert world.seen.writes == []


def test_a_later_pod_that_stored_everything_clears_the_trace():
    world = working()
    world.remove("Pod", "one-runner")
    world.apply()
    assert record(world)["unflushed"]
    world.cluster.tick(60)
    flush(world, 0, phase="Succeeded")
    world.apply()
    assert record(world) == {"pod": "", "unflushed": None}


@pytest.mark.parametrize(
    ("spec", "status"),
    [(RECREATE, Status.REPLACED), (f"{STORED}\nstate: Stopped", Status.DELETED)],
)
def test_a_pod_that_we_ended_is_not_missed(spec, status):
    world = working(spec=RECREATE)
    first = uid(world)
    world.add("one", f"{spec}\nenvironmentVariables: {{MODE: other}}")
    assert "Pod team-a/one-runner" in world.apply().of(status)
    trace = record(world)
    assert trace["unflushed"] is None
    assert trace["pod"] != first
    assert (trace["pod"] == "") is (status is Status.DELETED)


def test_what_a_pod_says_while_we_end_it_is_noted():
    world = working(spec=RECREATE, exit_s=30)
    ended = uid(world)
    world.add("one", f"{RECREATE}\nenvironmentVariables: {{MODE: other}}")
    deleted = world.cluster.delete

    def delete_and_flush(kind, ref, uid):
        finalizers = deleted(kind, ref, uid)
        if kind.name == "Pod":
            flush(world, 8, PARTIAL)
        return finalizers

    world.cluster.delete = delete_and_flush
    assert "Pod team-a/one-runner" in world.apply().of(Status.REPLACED)
    trace = record(world)
    assert trace["unflushed"]["uid"] == ended
    assert trace["pod"] == uid(world)


def test_a_session_without_storage_has_no_trace():
    world = working(spec="initialPrompt: work\nstorage: {mode: none}")
    world.remove("Pod", "one-runner")
    world.apply()
    assert record(world) == {"pod": "", "unflushed": None}


def test_a_record_of_an_earlier_version_costs_no_write():
    world = working()
    live = world.get("ConfigMap", "session-one")
    status = json.loads(live["data"][RECORD_STATUS_KEY])
    del status["flush"]
    value = json.dumps(status)
    operation = {"op": "replace", "path": f"/data/{RECORD_STATUS_KEY}", "value": value}
    world.edit("ConfigMap", "session-one", operation)
    world.apply()
    assert world.seen.writes == []
