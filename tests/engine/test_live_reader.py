"""Live state: unreadable namespaces and foreign objects are not changed."""

import weakref
from typing import Any

import pytest

from reconcile.core.changes import Create, Hold, HoldReason, Status
from reconcile.core.errors import ForbiddenError, NotFoundError, UnavailableError
from reconcile.core.model import ANNOTATION_ADOPT, LABEL_INSTALLATION
from reconcile.engine.live_reader import read_live_state
from tests.engine.fakes import Times, always
from tests.engine.installation import EmbeddedInstallation, declared, is_quiet, settled
from tests.session_files import policy_text

NO = ForbiddenError("no such right", "list")


def two_namespaces():
    world = EmbeddedInstallation()
    world.files["policy.yaml"] = policy_text()
    return world.add("one").add("one", namespace="team-b")


@pytest.mark.parametrize("kind", ["ConfigMap", "Service", "Pod"])
def test_a_namespace_that_cannot_be_read_leaves_the_others_working(kind):
    world = two_namespaces()
    passed = world.apply(Times(NO, "list", kind, namespace="team-a", times=always))
    (problem,) = passed.planned.problems
    assert str(problem) == (
        f"team-a: {kind} could not be read, so nothing is done in this namespace: no such right; "
        f"grant `list` on {kind} in this namespace"
    )
    assert world.names("team-a") == []
    assert len(passed.of(Status.CREATED)) == 6


def test_only_a_missing_permission_is_advised_to_be_granted():
    away = UnavailableError("it is away")
    planned = two_namespaces().plan(Times(away, "list", "Pod", namespace="team-a", times=always))
    assert str(planned.problems[0]).endswith("in this namespace: it is away")


def test_what_was_read_before_a_list_broke_counts_as_not_read():
    world = settled("one", "two", "three")
    for name in ("one", "two", "three"):
        del world.files[f"team-a/{name}.yaml"]
    world.files["policy.yaml"] = policy_text("allowEmpty: true")
    planned = world.plan(Times(NO, "list", "Pod", late=True, times=always), folders=["team-a"])
    assert planned.plan.changes == ()
    assert planned.live_state.objects == {}


def test_a_namespace_in_which_names_cannot_be_looked_up_is_left_alone():
    world = two_namespaces()
    passed = world.apply(Times(NO, "metadata", "Service", namespace="team-a", times=always))
    assert [problem.path for problem in passed.planned.problems] == ["team-a"]
    assert world.names("team-a") == []
    assert "Pod one-runner" in world.names("team-b")


def stranger(world, name="session-one", **metadata):
    """Create a foreign Service."""
    metadata = {"name": name, "namespace": "team-a", **metadata}
    body = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    ports = [{"name": "web", "port": 80, "protocol": "TCP"}]
    return world.cluster.create({**body, "spec": {"ports": ports}}, "stranger")


def test_a_foreign_object_of_a_wanted_name_is_found_before_any_create_and_not_changed():
    world = two_namespaces()
    before = stranger(world)
    passed = world.apply()
    held = {o.change.ref.kind: o.change.reason for o in passed.outcomes
            if isinstance(o.change, Hold)}  # fmt: skip
    assert held == {"Service": HoldReason.TAKEN, "Pod": HoldReason.WAITS_FOR_OWNER}
    assert all(isinstance(o.change, Create | Hold) for o in passed.outcomes)
    assert world.get("Service", "session-one") == before
    assert "Pod one-runner" in world.names("team-b")


def test_foreign_objects_are_not_looked_up_if_nothing_is_to_be_created():
    world = settled()
    world.plan()
    assert {call.verb for call in world.seen.log} == {"list"}


def test_a_foreign_object_of_another_name_is_ignored():
    world = two_namespaces()
    before = stranger(world, "another")
    assert not world.apply().bad
    assert world.get("Service", "another") == before


def test_a_foreign_object_that_is_deleted_during_the_lookup_costs_its_namespace_one_pass():
    world = two_namespaces()
    stranger(world, annotations={ANNOTATION_ADOPT: "default"})
    fault = Times(NotFoundError("gone"), "get", "Service", times=always)
    passed = world.apply(fault)
    assert [problem.path for problem in passed.planned.problems] == ["team-a"]
    assert not world.apply().bad


def test_another_installation_in_the_same_namespace_is_never_touched():
    world = settled()
    before = world.objects()
    other = EmbeddedInstallation()
    other.cluster = world.cluster
    other.files["policy.yaml"] = policy_text().replace("default", "second")
    other.add("two")
    assert not other.apply().bad
    assert is_quiet(world.plan().plan)
    assert [obj for obj in world.objects() if obj in before] == before
    del other.files["team-a/two.yaml"]
    other.files["policy.yaml"] = policy_text("allowEmpty: true").replace("default", "second")
    other.apply(folders=["team-a"])
    assert world.objects() == before


def test_two_installations_that_want_the_same_session_do_not_share_it():
    world = settled()
    before = world.objects()
    other = EmbeddedInstallation()
    other.cluster = world.cluster
    other.files["policy.yaml"] = policy_text().replace("default", "second")
    other.add("one")
    passed = other.apply()
    assert passed.of(Status.CREATED) == []
    assert [obj for obj in world.objects() if "second" not in obj["metadata"]["name"]] == before


def test_an_object_that_is_as_it_was_is_not_compared_again():
    world = settled("one", "two")
    first = world.plan()
    second = world.plan(memo=first.live_state.objects)
    assert is_quiet(second.plan)
    assert [id(s) for s in second.live_state.objects.values()] == [
        id(s) for s in first.live_state.objects.values()
    ]


def test_only_what_changed_is_compared_again():
    world = settled("one", "two")
    first = world.plan()
    world.edit(
        "Service", "session-one", {"op": "add", "path": "/metadata/labels/theirs", "value": "1"}
    )
    second = world.plan(memo=first.live_state.objects)
    fresh = {
        str(ref)
        for ref, live_object in second.live_state.objects.items()
        if live_object is not first.live_state.objects[ref]
    }
    assert fresh == {"Service team-a/session-one"}


def test_a_changed_file_makes_what_it_declares_be_compared_again():
    world = settled("one", "two")
    first = world.plan()
    world.add("two", "initialPrompt: changed")
    second = world.plan(memo=first.live_state.objects)
    fresh = {
        str(ref)
        for ref, live_object in second.live_state.objects.items()
        if live_object is not first.live_state.objects[ref]
    }
    assert fresh == {"ConfigMap team-a/two-inputs", "Pod team-a/two-runner"}
    assert not is_quiet(second.plan)


def test_a_kind_and_a_namespace_that_do_not_exist_have_no_objects():
    world = EmbeddedInstallation(templates={"odd.yaml.j2": "apiVersion: example.com/v1\nkind: Odd\n"
                             "metadata: {name: '{{ session.name }}-odd'}\n"})  # fmt: skip
    world.files["policy.yaml"] = policy_text()
    world.add("one")
    passed = world.apply()
    assert not passed.planned.problems
    assert passed.of(Status.FAILED) == ["Odd team-a/one-odd"]


def test_an_unavailable_server_is_not_retried_for_each_namespace():
    world = two_namespaces()
    planned = world.plan(Times(UnavailableError("away"), "list", times=always))
    assert [problem.path for problem in planned.problems] == ["team-a", "team-b"]
    assert all("away" in problem.message for problem in planned.problems)
    assert len(world.seen.log) == 1


def test_what_was_applied_to_a_foreign_object_created_meanwhile_is_released():
    world = declared()
    reconciler = world.reconciler()
    planned = reconciler.plan(world.desired(), {})
    metadata = {"name": "one-inputs", "namespace": "team-a"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}
    before = world.cluster.create(body, "them")
    world.clock.sleep(5)
    passed = world.carry_out(reconciler, planned)
    assert passed.of(Status.FAILED) == ["ConfigMap team-a/one-inputs"]
    assert "was created by them after the plan was made" in passed.messages[0]
    after = world.get("ConfigMap", "one-inputs")
    assert after["data"] == {"a": "b"}
    assert "labels" not in after["metadata"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert HoldReason.TAKEN in {
        change.reason for change in world.plan().plan.changes if isinstance(change, Hold)
    }


def test_a_labelled_object_without_a_session_is_ignored():
    world = settled()
    stranger(world, "copy", labels={LABEL_INSTALLATION: "default"})
    assert is_quiet(world.plan().plan)


class Body(dict):
    """An object as a list yields it, which can be watched by a weak reference."""

    __slots__ = ("__weakref__",)


class WatchedCluster:
    """Counts the bodies of listed objects that are in memory at the same time."""

    def __init__(self, inner):
        self._inner = inner
        self._bodies = []
        self.most = 0

    def list(self, *request):
        for body in self._inner.list(*request):
            watched = Body(body)
            self._bodies.append(weakref.ref(watched))
            self.most = max(self.most, sum(each() is not None for each in self._bodies))
            yield watched


def test_the_body_of_a_live_object_is_not_kept():
    world = settled("one", "two", "three")
    cluster: Any = WatchedCluster(world.cluster)
    read = read_live_state(cluster, world.desired(), {})
    assert len(read.live_state.objects) == 18
    assert cluster.most <= 2
