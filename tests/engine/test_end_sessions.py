"""Sessions end in order, pods first and within their grace period, without blocking others."""

import pytest

from reconcile.core.changes import Hold, HoldReason, Status
from reconcile.core.errors import ConflictError, ForbiddenError, NotFoundError
from reconcile.engine.reconciler import ReconcilerOptions
from tests.engine.fakes import Times, always
from tests.engine.installation import is_quiet, settled
from tests.session_files import GENEROUS, OTHER_POD, policy_text

RECREATE = "update: {strategy: Recreate}"
NO = ForbiddenError("no such right")


def gone(world, name="one", namespace="team-a"):
    """Take a session's file away, and leave the policy that lets the last one go."""
    del world.files[f"{namespace}/{name}.yaml"]
    world.files["policy.yaml"] = policy_text(GENEROUS, "allowEmpty: true")
    return world


def stuck(world, kind="Pod", name="one-runner"):
    """Let an object never go."""
    add = {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/never"]}
    world.edit(kind, name, add)
    return world


def test_a_removed_session_ends_pod_first_and_record_last():
    world = gone(settled(exit_s=5))
    passed = world.apply(folders=["team-a"])
    deleted = [name.replace(" team-a/", " ") for name in passed.of(Status.DELETED)]
    assert deleted == [
        "Pod one-runner",
        "Service session-one",
        "NetworkPolicy session-one",
        "ConfigMap one-inputs",
        "ServiceAccount session-one",
        "ConfigMap session-one",
    ]
    assert world.ours() == []


def test_the_network_policy_stays_in_force_until_the_pod_is_gone():
    world = gone(settled(exit_s=5))
    world.apply(folders=["team-a"])
    log = [(call.verb, call.kind) for call in world.seen.log if call.verb in {"get", "delete"}]
    polls = log.count(("get", "Pod"))
    assert polls == 11
    assert log[: polls + 2] == [("delete", "Pod"), *[("get", "Pod")] * polls, ("delete", "Service")]


def test_nothing_else_is_waited_for():
    world = gone(settled())
    world.apply(folders=["team-a"])
    assert {call.kind for call in world.seen.log if call.verb == "get"} == {"Pod"}
    assert world.clock.waits == []


def test_what_is_gone_already_is_as_good_as_deleted():
    world = gone(settled())
    reconciler = world.reconciler(Times(NotFoundError("gone"), "delete", "Pod"))
    planned = reconciler.plan(world.desired(folders=["team-a"]), {})
    passed = world.carry_out(reconciler, planned)
    assert "Pod team-a/one-runner" in passed.of(Status.DELETED)


def test_another_object_that_took_the_name_is_not_deleted():
    world = gone(settled())
    reconciler = world.reconciler()
    planned = reconciler.plan(world.desired(folders=["team-a"]), {})
    old = world.get("Service", "session-one")
    world.remove("Service", "session-one")
    metadata = {"name": "session-one", "namespace": "team-a"}
    world.cluster.create({**old, "metadata": metadata, "status": {}}, "stranger")
    passed = world.carry_out(reconciler, planned)
    assert passed.of(Status.FAILED) == ["Service team-a/session-one"]
    assert world.get("Service", "session-one")


def test_a_pod_that_was_exchanged_while_it_ended_is_not_waited_for():
    world = gone(settled(exit_s=5))
    reconciler = world.reconciler()
    planned = reconciler.plan(world.desired(folders=["team-a"]), {})
    old = world.get("Pod", "one-runner")

    def exchange(call):
        if call.verb == "get" and call.name == "one-runner":
            world.cluster.tick(10)
            world.cluster.create(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": "one-runner", "namespace": "team-a"},
                    "spec": {key: old["spec"][key] for key in ("containers", "volumes")},
                },
                "stranger",
            )

    world.seen.before = exchange
    passed = world.carry_out(reconciler, planned)
    assert "Pod team-a/one-runner" in passed.of(Status.DELETED)
    assert "Pod one-runner" in world.names()


def test_a_pod_that_never_goes_is_named_and_its_session_waits():
    world = stuck(gone(settled(exit_s=5)))
    passed = world.apply(folders=["team-a"])
    assert passed.of(Status.FAILED) == ["Pod team-a/one-runner"]
    assert passed.messages[0] == (
        "Pod team-a/one-runner is still ending: it waits for example.com/never; the next pass "
        "continues when it is gone"
    )
    assert len(passed.of(Status.SKIPPED)) == 5
    grace = world.get("Pod", "one-runner")["metadata"]["deletionGracePeriodSeconds"]
    assert world.clock.monotonic() == grace + 30


def test_the_next_pass_goes_on_where_the_last_one_gave_up():
    world = stuck(gone(settled(exit_s=5)))
    world.apply(folders=["team-a"])
    world.edit("Pod", "one-runner", {"op": "remove", "path": "/metadata/finalizers"})
    world.cluster.tick(1000)
    passed = world.apply(folders=["team-a"])
    assert not passed.bad
    assert world.ours() == []


def test_a_failing_look_at_an_ending_pod_is_a_failure():
    world = gone(settled(exit_s=5))
    passed = world.apply(Times(NO, "get", "Pod", times=always), folders=["team-a"])
    assert passed.of(Status.FAILED) == ["Pod team-a/one-runner"]


def test_hundreds_of_pods_in_their_grace_period_need_no_more_than_two_threads():
    names = [f"s{number}" for number in range(200)]
    world = settled(*names, exit_s=20)
    world.options = ReconcilerOptions(concurrency=2)
    for name in names:
        gone(world, name)
    passed = world.apply(folders=["team-a"])
    assert len(passed.of(Status.DELETED)) == 6 * len(names)
    assert world.ours() == []
    assert world.clock.monotonic() < 25


def test_a_waiting_session_does_not_delay_others():
    world = stuck(settled("one", "two", exit_s=5))
    gone(world, "one").add("three")
    passed = world.apply()
    assert passed.of(Status.FAILED) == ["Pod team-a/one-runner"]
    created = [n for n, o in enumerate(passed.outcomes) if o.status is Status.CREATED]
    assert max(created) < next(n for n, o in enumerate(passed.outcomes) if o in passed.bad)


def test_a_replacement_waits_until_the_old_pod_is_gone():
    world = settled(exit_s=5).add("one", f"{OTHER_POD}\n{RECREATE}")
    old = world.get("Pod", "one-runner")["metadata"]["uid"]
    passed = world.apply()
    assert passed.of(Status.REPLACED) == ["Pod team-a/one-runner"]
    assert world.get("Pod", "one-runner")["metadata"]["uid"] != old
    verbs = [call.verb for call in world.seen.log if call.kind == "Pod" and call.name]
    assert verbs == ["delete", *["get"] * (len(verbs) - 2), "apply"]
    assert world.clock.monotonic() == 5
    assert is_quiet(world.plan().plan)


def test_nothing_takes_the_place_of_a_pod_that_does_not_go():
    world = stuck(settled(exit_s=5)).add("one", f"{OTHER_POD}\n{RECREATE}")
    passed = world.apply()
    assert passed.of(Status.FAILED) == ["Pod team-a/one-runner"]
    again = world.apply()
    held = [o.change.reason for o in again.outcomes if isinstance(o.change, Hold)]
    assert held == [HoldReason.TERMINATING]
    world.edit("Pod", "one-runner", {"op": "remove", "path": "/metadata/finalizers"})
    world.cluster.tick(1000)
    assert world.apply().of(Status.CREATED) == ["Pod team-a/one-runner"]
    assert is_quiet(world.plan().plan)


def test_a_replacement_that_was_cut_short_is_ended_by_the_next_pass():
    world = settled().add("one", f"{OTHER_POD}\n{RECREATE}")
    passed = world.apply(Times(NO, "apply", "Pod"))
    assert passed.of(Status.FAILED) == ["Pod team-a/one-runner"]
    assert world.apply().of(Status.CREATED) == ["Pod team-a/one-runner"]


def test_a_stopped_session_loses_its_pod_first_and_keeps_the_rest():
    world = settled(exit_s=5).add("one", "state: Stopped\ninitialPrompt: work")
    passed = world.apply()
    assert str(passed.outcomes[0].change.ref) == "Pod team-a/one-runner"
    assert passed.of(Status.DELETED) == ["Pod team-a/one-runner"]
    assert "Service session-one" in world.names()
    assert is_quiet(world.plan().plan)


def test_a_conflict_of_a_delete_is_a_failure_and_not_retried():
    world = gone(settled("one", "two"))
    passed = world.apply(Times(ConflictError("another one"), "delete", "Service", times=always))
    assert passed.of(Status.FAILED) == ["Service team-a/session-one"]
    assert "Service session-one" in world.names()


def test_what_is_being_deleted_already_is_not_deleted_again():
    world = stuck(gone(settled(exit_s=5)))
    world.apply(folders=["team-a"])
    passed = world.apply(folders=["team-a"])
    assert passed.of(Status.FAILED) == ["Pod team-a/one-runner"]
    assert not [call for call in world.seen.log if call.verb == "delete"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Service", "session-one"),
        ("ConfigMap", "one-inputs"),
        ("ConfigMap", "session-one"),
        ("NetworkPolicy", "session-one"),
        ("ServiceAccount", "session-one"),
    ],
)
def test_what_waits_for_a_finalizer_is_held_and_not_deleted(kind, name):
    world = stuck(settled(), kind, name)
    passed = gone(world).apply(folders=["team-a"])
    assert passed.of(Status.HELD) == [f"{kind} team-a/{name}"]
    assert f"{kind} team-a/{name}" not in passed.of(Status.DELETED)
    assert passed.messages == ["waits for example.com/never"]
    assert f"{kind} {name}" in world.names("team-a")
    waited = world.clock.monotonic()
    again = world.apply(folders=["team-a"])
    assert again.of(Status.HELD) == [f"{kind} team-a/{name}"]
    [hold] = again.plan.changes
    assert hold.reason is HoldReason.FINALIZER
    assert not world.seen.writes
    assert world.clock.monotonic() == waited
    world.edit(kind, name, {"op": "remove", "path": "/metadata/finalizers"})
    world.apply(folders=["team-a"])
    assert world.names("team-a") == []


def test_a_finalizer_that_is_removed_soon_is_waited_for():
    world = stuck(gone(settled()), "Service", "session-one")
    reconciler = world.reconciler()
    planned = reconciler.plan(world.desired(folders=["team-a"]), {})

    def release(call):
        if (call.verb, call.name, world.clock.monotonic()) == ("get", "session-one", 1):
            operation = {"op": "remove", "path": "/metadata/finalizers"}
            world.edit("Service", "session-one", operation)

    world.seen.before = release
    passed = world.carry_out(reconciler, planned)
    assert "Service team-a/session-one" in passed.of(Status.DELETED)
    assert passed.of(Status.HELD) == []
    assert world.clock.monotonic() == 1


def test_a_wanted_object_that_a_finalizer_keeps_is_held_with_what_comes_after_it():
    world = stuck(settled(), "ConfigMap", "one-inputs")
    world.remove("ConfigMap", "one-inputs")
    passed = world.apply()
    assert "ConfigMap team-a/one-inputs" in passed.of(Status.HELD)
    reasons = {o.change.reason for o in passed.outcomes if isinstance(o.change, Hold)}
    assert HoldReason.FINALIZER in reasons
