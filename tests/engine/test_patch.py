"""Patches: conflicts are planned again, refusals become replacements where that harms nothing."""

import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.core.changes import Hold, HoldReason, Patch, Replace, Status
from reconcile.core.errors import ConflictError, FieldOwner, ForbiddenError, InvalidError
from reconcile.core.model import ANNOTATION_ADOPT
from tests.builders import ref_of
from tests.engine.fakes import Times, always
from tests.engine.installation import declared, is_quiet, settled
from tests.session_files import GENEROUS, OTHER_POD, SHIPPED, policy_text

RECREATE = "update: {strategy: Recreate}"
PROMPT = f"initialPrompt: changed\n{RECREATE}"
PORT = f"runner: {{port: 9000}}\n{RECREATE}"
DEADLINE = "initialPrompt: work\nmaxDuration: 1h"
CONFLICT = ConflictError("another client was faster")
FAILED = Status.FAILED
IMMUTABLE = InvalidError("it cannot be changed", ("spec.secret", "spec.other"))

CLAIM = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: "{{ session.name }}-data"}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: {{ session.spec.storage.size | tojson }}}}
"""


def calls(world, name):
    return [call.verb for call in world.seen.log if call.name == name]


def test_a_conflict_is_read_again_and_planned_again():
    world = settled().add("one", PROMPT)
    passed = world.apply(Times(CONFLICT, "apply", name="one-inputs"))
    assert not passed.bad
    assert "ConfigMap team-a/one-inputs" in passed.of(Status.CONFIGURED)
    assert calls(world, "one-inputs") == ["apply", "get", "apply"]
    assert is_quiet(world.plan().plan)


def test_a_record_is_planned_again_without_an_owner():
    world = settled().add("one", "initialPrompt: work\ndisplayName: One")
    passed = world.apply(Times(CONFLICT, "apply", name="session-one", kind="ConfigMap"))
    assert "ConfigMap team-a/session-one" in passed.of(Status.CONFIGURED)
    assert is_quiet(world.plan().plan)


def test_what_is_as_wanted_after_a_conflict_is_left_alone():
    world = settled().add("one", PROMPT)
    passed = world.apply(Times(CONFLICT, "apply", name="one-inputs", late=True))
    assert "ConfigMap team-a/one-inputs" in passed.of(Status.UNCHANGED)
    assert calls(world, "one-inputs") == ["apply", "get"]
    assert is_quiet(world.plan().plan)


def test_what_keeps_changing_is_left_to_the_next_pass():
    world = settled().add("one", PROMPT)
    passed = world.apply(Times(CONFLICT, "apply", name="one-inputs", times=always))
    assert passed.of(Status.FAILED) == ["ConfigMap team-a/one-inputs"]
    assert "keeps changing" in passed.messages[0]
    assert calls(world, "one-inputs").count("apply") == 3
    assert not world.apply().bad


def meanwhile(world, action):
    """Plan, let another client act, then apply the plan."""
    reconciler = world.reconciler()
    planned = reconciler.plan(world.desired(), {})
    action()
    return world.carry_out(reconciler, planned)


def test_a_patch_does_not_create_what_has_gone_meanwhile():
    world = settled().add("one", PROMPT)
    passed = meanwhile(world, lambda: world.remove("ConfigMap", "one-inputs"))
    assert passed.of(Status.FAILED) == ["ConfigMap team-a/one-inputs"]
    assert "has changed since the plan was made" in passed.messages[0]
    assert "ConfigMap one-inputs" not in world.names()
    assert not world.apply().bad
    assert is_quiet(world.plan().plan)


def test_a_patch_is_not_put_on_another_object_of_the_same_name():
    world = settled().add("one", PROMPT)

    def exchange():
        old = world.get("ConfigMap", "one-inputs")
        world.remove("ConfigMap", "one-inputs")
        metadata = {"name": "one-inputs", "namespace": "team-a"}
        world.cluster.create({**old, "metadata": metadata, "data": {"a": "mine"}}, "stranger")

    passed = meanwhile(world, exchange)
    assert passed.of(Status.FAILED) == ["ConfigMap team-a/one-inputs"]
    assert world.get("ConfigMap", "one-inputs")["data"] == {"a": "mine"}


def test_a_field_that_another_manager_takes_after_the_plan_is_taken_back():
    world = settled().add("one", PROMPT)
    write = {"op": "replace", "path": "/data/INITIAL_PROMPT", "value": "theirs"}
    passed = meanwhile(world, lambda: world.edit("ConfigMap", "one-inputs", write))
    assert not passed.bad
    assert world.get("ConfigMap", "one-inputs")["data"]["INITIAL_PROMPT"] == "changed"


def test_drift_is_healed_by_a_forced_patch_of_the_version_that_was_seen():
    world = settled()
    write = {"op": "replace", "path": "/data/INITIAL_PROMPT", "value": "theirs"}
    world.edit("ConfigMap", "one-inputs", write)
    passed = meanwhile(
        world, lambda: world.edit("ConfigMap", "one-inputs", {**write, "value": "2"})
    )
    assert passed.of(Status.CONFIGURED) == ["ConfigMap team-a/one-inputs"]
    assert calls(world, "one-inputs") == ["apply", "get", "apply"]
    assert world.get("ConfigMap", "one-inputs")["data"]["INITIAL_PROMPT"] == "work"


def test_what_would_now_end_work_is_more_than_the_plan_allowed():
    world = settled().add("one", DEADLINE)
    image = {"op": "replace", "path": "/spec/containers/0/image", "value": "theirs:1"}

    def restart():
        world.edit("Pod", "one-runner", image)

    passed = meanwhile(world, restart)
    assert passed.of(Status.FAILED) == ["Pod team-a/one-runner"]
    assert world.get("Pod", "one-runner")["spec"]["containers"][0]["image"] == "theirs:1"


@pytest.mark.parametrize("begins", [True, False])
def test_a_pod_that_begins_its_work_after_the_plan_was_made_is_not_replaced(*, begins):
    world = declared()
    world.cluster = EmbeddedCluster()
    world.apply()
    uid = world.get("Pod", "one-runner")["metadata"]["uid"]
    world.add("one", OTHER_POD)

    def begin():
        if begins:
            status = {"op": "replace", "path": "/status/phase", "value": "Running"}
            world.edit("Pod", "one-runner", status)

    passed = meanwhile(world, begin)
    [done] = [o for o in passed.outcomes if o.change.ref == ref_of("Pod", "one-runner")]
    assert done.status is (Status.HELD if begins else Status.REPLACED)
    assert (world.get("Pod", "one-runner")["metadata"]["uid"] == uid) == begins


def test_a_refused_field_replaces_an_object_in_which_nothing_runs():
    world = settled().add("one", PORT)
    uid = world.get("Service", "session-one")["metadata"]["uid"]
    passed = world.apply(Times(IMMUTABLE, "apply", "Service", "session-one"))
    done = next(o for o in passed.outcomes if o.change.ref == ref_of("Service", "session-one"))
    assert isinstance(done.change, Replace)
    assert (done.status, done.message) == (Status.REPLACED, "spec.secret, spec.other")
    assert world.get("Service", "session-one")["metadata"]["uid"] != uid
    assert is_quiet(world.plan().plan)


def test_a_refused_field_of_a_pod_is_held_while_it_works():
    world = settled().add("one", DEADLINE)
    passed = world.apply(Times(IMMUTABLE, "apply", "Pod", times=always))
    done = passed.outcomes[-1]
    assert isinstance(done.change, Hold)
    assert isinstance(done.change.change, Replace)
    assert done.change.reason is HoldReason.RUNNING_WORK
    assert done.message == "the server refuses spec.secret, spec.other"
    assert not passed.of(Status.FAILED)


def test_a_refused_field_of_a_pod_replaces_it_in_no_pass_as_the_plan_did_not_say_so():
    world = settled().add("one", f"{DEADLINE}\n{RECREATE}")
    uid = world.get("Pod", "one-runner")["metadata"]["uid"]
    for _ in range(3):
        passed = world.apply(Times(IMMUTABLE, "apply", "Pod", times=always))
        held = [o.change for o in passed.outcomes if isinstance(o.change, Hold)]
        assert [each.reason for each in held] == [HoldReason.REFUSED]
        assert not [call for call in world.seen.log if call.verb == "delete"]
    assert world.get("Pod", "one-runner")["metadata"]["uid"] == uid


def test_a_refused_field_of_what_holds_data_is_held_whatever_the_author_says():
    world = settled(templates={**SHIPPED, "claim.yaml.j2": CLAIM})
    world.add("one", f"initialPrompt: work\n{RECREATE}\nstorage: {{size: 20Gi}}")
    passed = world.apply(Times(IMMUTABLE, "apply", "PersistentVolumeClaim", times=always))
    held = [o.change for o in passed.outcomes if isinstance(o.change, Hold)]
    assert [(each.ref.kind, each.reason) for each in held] == [
        ("PersistentVolumeClaim", HoldReason.DATA_LOSS)
    ]


@pytest.mark.parametrize("fields", [(), ("metadata.labels",), ("metadata",)])
def test_what_is_refused_for_another_reason_is_a_failure_and_nothing_is_deleted(fields):
    world = settled().add("one", PORT)
    refused = InvalidError("no", fields)
    passed = world.apply(Times(refused, "apply", "Service", "session-one", times=always))
    assert passed.of(Status.FAILED) == ["Service team-a/session-one"]
    assert not [call for call in world.seen.log if call.verb == "delete"]


def test_another_error_of_a_patch_is_a_failure():
    world = settled().add("one", PROMPT)
    passed = world.apply(Times(ForbiddenError("no"), "apply", name="one-inputs"))
    assert passed.of(Status.FAILED) == ["ConfigMap team-a/one-inputs"]


def test_an_object_annotated_for_adoption_is_adopted():
    world = settled()
    old = world.get("Service", "session-one")
    world.remove("Service", "session-one")
    metadata = {
        "name": "session-one",
        "namespace": "team-a",
        "annotations": {ANNOTATION_ADOPT: "default"},
    }
    given = {"ports": [{"port": 1, "name": "other"}], "selector": {"a": "b"}}
    world.cluster.create({**old, "metadata": metadata, "spec": given, "status": {}}, "stranger")
    passed = world.apply()
    done = next(o for o in passed.outcomes if o.change.ref == ref_of("Service", "session-one"))
    assert isinstance(done.change, Patch)
    assert done.change.adopts
    assert done.status is Status.CONFIGURED
    assert is_quiet(world.plan().plan)


def test_a_held_patch_of_the_record_still_gives_the_owner_of_the_rest():
    world = settled()
    world.files["policy.yaml"] = policy_text(GENEROUS, "onConflict: report")
    write = {"op": "replace", "path": "/data/state", "value": "Odd"}
    world.edit("ConfigMap", "session-one", write)
    uid = world.get("ConfigMap", "session-one")["metadata"]["uid"]
    world.remove("Service", "session-one")
    passed = world.apply()
    reasons = [o.change.reason for o in passed.outcomes if isinstance(o.change, Hold)]
    assert reasons == [HoldReason.CONFLICT, HoldReason.WAITS_FOR_OWNER]
    assert uid in str(world.get("Pod", "one-runner")["metadata"]["ownerReferences"])


OWNED = ConflictError("owned", (FieldOwner("kubectl", ".spec"),))


@pytest.mark.parametrize(("policy", "status"), [("heal", Status.CONFIGURED), ("report", FAILED)])
def test_what_only_the_server_calls_a_conflict_is_taken_over_if_the_policy_is_to_heal(
    policy, status
):
    world = settled()
    world.files["policy.yaml"] = policy_text(GENEROUS, f"onConflict: {policy}")
    world.add("one", PROMPT)
    passed = world.apply(Times(OWNED, "apply", name="one-inputs"))
    assert "ConfigMap team-a/one-inputs" in passed.of(status)


def test_a_body_that_is_wrong_in_itself_costs_no_object():
    world = settled().add("one", "initialPrompt: changed")
    before = world.get("ConfigMap", "one-inputs")
    passed = world.apply(Times(IMMUTABLE, "apply", "ConfigMap", times=always))
    assert "ConfigMap team-a/session-one" not in passed.of(Status.REPLACED)
    assert "ConfigMap team-a/one-inputs" in passed.of(Status.FAILED)
    assert world.get("ConfigMap", "one-inputs") == before
