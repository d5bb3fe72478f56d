"""A plan tried on the server: what it would say of each object, and that nothing changes."""

from dataclasses import replace

import pytest

from reconcile.core.changes import HoldReason
from reconcile.core.errors import (
    AdmissionDeniedError,
    ClusterError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    NotFoundReason,
    UnavailableError,
)
from reconcile.core.model import STATUS_FIELD_MANAGER
from reconcile.core.plan.dry_run import AcceptedObject, AlteredObject, RefusedObject, UntriedObject
from reconcile.core.plan.policy import hold_all
from reconcile.engine.dry_run import DryRun
from reconcile.engine.ports import ApplyOptions
from tests.builders import ref_of
from tests.engine.fakes import FlakyCluster, LabelPolicy, Times, always, never
from tests.engine.installation import declared, settled
from tests.session_files import GENEROUS, OTHER_POD, policy_text

INVENTORY = "reconcile-inventory-default"
RECREATE = f"update: {{strategy: Recreate}}\n{OTHER_POD}"


def rehearsed(world, faults=never, **desired):
    """Try a world's plan; asserts that all is as it was before."""
    before = world.objects()
    planned = world.plan(**desired)
    reconciler = world.reconciler(faults)
    found = reconciler.dry_run(planned)
    assert world.objects() == before
    return found


def result_of(found, kind, name="one"):
    [each] = [a for a in found.admission if a.ref.kind == kind and name in a.ref.name]
    return each


def applied_names(world):
    return [f"{call.kind} {call.name}" for call in world.seen.log if call.verb == "apply"]


def test_each_object_that_is_wanted_is_tried_in_the_order_of_the_plan():
    world = declared("one", "two")
    found = rehearsed(world)
    assert "ConfigMap session-one" in applied_names(world)
    refs = [change.ref for change in world.plan().plan.changes]
    assert [each.ref for each in found.admission] == [ref_of("ConfigMap", INVENTORY), *refs]
    assert found.problems == ()


def test_what_stays_or_goes_is_not_tried():
    world = settled("one", "two")
    del world.files["team-a/two.yaml"]
    rehearsed(world, folders=["team-a"])
    # It notes the session that ends.
    assert applied_names(world) == [f"ConfigMap {INVENTORY}"]


def test_an_installation_that_is_settled_has_nothing_to_try():
    world = settled("one", "two")
    assert rehearsed(world).admission == ()
    assert applied_names(world) == []


def test_a_record_that_only_gets_its_status_is_tried_as_the_status_is_written():
    world = settled()
    world.edit(
        "Service", "session-one", {"op": "replace", "path": "/spec/ports/0/port", "value": 1}
    )
    bodies = []
    planned = world.plan()
    world.reconciler(wrap=lambda cluster: Spy(cluster, bodies)).dry_run(planned)
    [(body, options)] = [pair for pair in bodies if pair[0]["kind"] == "ConfigMap"]
    live = world.get("ConfigMap", "session-one")["metadata"]
    assert (body["metadata"]["name"], body["metadata"]["uid"]) == ("session-one", live["uid"])
    assert options == ApplyOptions(STATUS_FIELD_MANAGER, force=True, dry_run=True)


def test_each_object_that_lacks_a_demanded_label_is_refused():
    world = declared("one").add("one", namespace="team-b")
    planned = world.plan()
    demanding = world.reconciler(wrap=lambda cluster: LabelPolicy(cluster, "team"))
    found = demanding.dry_run(planned)
    assert found.problems == ()
    refused = {each.ref for each in found.admission if isinstance(each, RefusedObject)}
    for namespace in ("team-a", "team-b"):
        assert ref_of("ConfigMap", INVENTORY, namespace) in refused
        assert ref_of("ConfigMap", "session-one", namespace) in refused
    untried = [each for each in found.admission if not isinstance(each, RefusedObject)]
    assert {each.ref.kind for each in untried} == {"Pod"}
    assert world.objects() == []


def test_an_inventory_is_tried_only_where_it_would_be_written():
    world = settled()
    world.add("one", namespace="team-b")
    found = rehearsed(world)
    tried = {each.ref.namespace for each in found.admission if each.ref.name == INVENTORY}
    assert tried == {"team-a", "team-b"}
    world.apply()
    world.add("one", "displayName: Other")
    assert not [each for each in rehearsed(world).admission if each.ref.name == INVENTORY]


def test_an_inventory_that_gets_shorter_is_tried_too():
    world = settled()
    world.add("one", namespace="team-b").apply()
    del world.files["team-b/one.yaml"]
    # A delete that is approved by name is not noted, so only what the copies name changes.
    world.files["policy.yaml"] = policy_text(GENEROUS, "allowDeletes: [team-b/one]")
    [inventory] = rehearsed(world, folders=["team-b"]).admission
    assert inventory == AcceptedObject(ref_of("ConfigMap", INVENTORY))


def test_a_foreign_object_with_the_name_of_the_inventory_is_a_refusal():
    world = declared()
    names = {"name": INVENTORY, "namespace": "team-a"}
    world.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": names}, "stranger")
    inventory = result_of(rehearsed(world), "ConfigMap", INVENTORY)
    assert isinstance(inventory, RefusedObject)
    assert "is a foreign object" in inventory.message


def test_an_inventory_that_admission_changes_is_reported():
    class Labelling(Spy):
        def apply(self, body, options):
            answer = super().apply(body, options)
            labels = {**answer["metadata"]["labels"], "mesh": "on"}
            return {**answer, "metadata": {**answer["metadata"], "labels": labels}}

    world = declared()
    planned = world.plan()
    found = world.reconciler(wrap=lambda cluster: Labelling(cluster, [])).dry_run(planned)
    [field] = result_of(found, "ConfigMap", INVENTORY).fields
    assert field.path == "metadata.labels.mesh"


def test_a_pod_whose_account_is_yet_to_be_made_is_not_tried():
    found = rehearsed(declared())
    account = result_of(found, "ServiceAccount").ref
    pod = result_of(found, "Pod")
    assert pod == UntriedObject(pod.ref, f"{account} does not exist yet")


def test_a_new_object_is_tried_without_an_owner_that_has_no_uid_yet():
    world = declared()
    bodies = []
    planned = world.plan()
    reconciler = world.reconciler(wrap=lambda cluster: Spy(cluster, bodies))
    reconciler.dry_run(planned)
    assert bodies
    assert not any("ownerReferences" in body["metadata"] for body, _ in bodies)
    assert all(options.dry_run for _, options in bodies)


class Spy:
    """Keeps what is applied."""

    def __init__(self, cluster, bodies):
        self._cluster = cluster
        self._bodies = bodies

    def apply(self, body, options):
        self._bodies.append((body, options))
        return self._cluster.apply(body, options)

    def __getattr__(self, name):
        return getattr(self._cluster, name)


def test_a_patch_is_tried_on_the_very_object_and_with_its_owner():
    world = settled()
    record = world.get("ConfigMap", "session-one")["metadata"]["uid"]
    world.edit(
        "Service", "session-one", {"op": "replace", "path": "/spec/ports/0/port", "value": 1}
    )
    bodies = []
    planned = world.plan()
    world.reconciler(wrap=lambda cluster: Spy(cluster, bodies)).dry_run(planned)
    [(body, options)] = [pair for pair in bodies if pair[0]["kind"] == "Service"]
    live = world.get("Service", "session-one")["metadata"]
    assert (body["metadata"]["name"], body["metadata"]["uid"]) == ("session-one", live["uid"])
    assert body["metadata"]["ownerReferences"][0]["uid"] == record
    assert options.force


@pytest.mark.parametrize("spec", [RECREATE, OTHER_POD])
def test_a_replacement_is_tried_under_a_free_name_whether_it_is_held_or_not(spec):
    world = settled().add("one", spec)
    world.cluster.tick(60)
    found = rehearsed(world)
    pod = result_of(found, "Pod")
    assert pod == AcceptedObject(pod.ref)
    assert "Pod one-runner-dry-run" in applied_names(world)
    assert "Pod one-runner" not in applied_names(world)


def test_a_name_that_is_taken_is_tried_elsewhere():
    world = declared()
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "session-one", "namespace": "team-a"},
        "spec": {"ports": [{"port": 1}]},
    }
    world.cluster.create(body, "stranger")
    found = rehearsed(world)
    assert isinstance(result_of(found, "Service"), AcceptedObject)
    assert "Service session-one-dry-run" in applied_names(world)


def test_a_namespace_out_of_scope_gets_no_dry_run():
    world = declared()
    plan = world.plan().plan
    [session] = plan.sessions
    held = replace(session, changes=hold_all(session.changes, HoldReason.OUT_OF_REALM))
    seen = FlakyCluster(world.cluster)
    found = DryRun(seen, replace(plan, sessions=(held,))).run(threads=2)
    assert {each.reason for each in found.admission} == {
        "the namespace is not listed in policy.yaml"
    }
    assert len(found.admission) == len(plan.changes)
    assert seen.log == []


def test_a_namespace_that_is_not_there_is_asked_for_once():
    world = declared("one", "two")
    gone = NotFoundError('namespaces "team-a" not found', NotFoundReason.NAMESPACE)
    found = rehearsed(world, Times(gone, "apply", times=always))
    assert {each.reason for each in found.admission} == {"the namespace does not exist yet"}
    assert found.problems == ()
    assert len(applied_names(world)) == 1


def test_a_kind_that_is_not_served_waits_and_the_others_are_tried():
    gone = NotFoundError("Service: the server does not serve it in v1", NotFoundReason.KIND)
    found = rehearsed(declared(), Times(gone, "apply", "Service", times=always))
    service = result_of(found, "Service")
    assert service == UntriedObject(service.ref, "the server does not serve this kind yet")
    assert isinstance(result_of(found, "NetworkPolicy"), AcceptedObject)


def test_another_missing_object_is_reported_with_the_servers_message():
    gone = NotFoundError('roles "one" not found')
    service = result_of(rehearsed(declared(), Times(gone, "apply", "Service")), "Service")
    assert service.reason == 'something that it needs does not exist yet (roles "one" not found)'


@pytest.mark.parametrize(
    "error",
    [AdmissionDeniedError("quota"), InvalidError("wrong", ("spec",)), ClusterError("webhook")],
)
def test_a_refusal_is_reported(error):
    found = rehearsed(declared(), Times(error, "apply", "Service"))
    service = result_of(found, "Service")
    assert service == RefusedObject(service.ref, str(error))
    assert found.problems == ()


def test_an_object_that_changed_meanwhile_is_not_judged():
    found = rehearsed(declared(), Times(ConflictError("another UID"), "apply", "Service"))
    why = result_of(found, "Service").reason
    assert why == "it has changed since the plan was made (another UID)"


def test_each_missing_permission_is_named_once_per_kind_and_namespace():
    no = ForbiddenError("no such right", "create")
    world = declared("one", "two").add("one", namespace="team-b")
    found = rehearsed(world, Times(no, "apply", "Service", times=always))
    assert [str(problem) for problem in found.problems] == [
        f"{namespace}: Service could not be tried on the server: no such right; grant `create` on "
        "Service in this namespace"
        for namespace in ("team-a", "team-b")
    ]
    services = [each for each in found.admission if each.ref.kind == "Service"]
    assert {each.reason for each in services} == {"the permission to `create` it is missing"}


def test_refused_credentials_are_not_a_missing_permission():
    found = rehearsed(declared(), Times(ForbiddenError("401"), "apply", times=always))
    [problem] = found.problems
    assert "grant" not in problem.message


def test_an_unavailable_server_is_tried_once():
    world = declared("one", "two")
    found = rehearsed(world, Times(UnavailableError("away"), "apply", times=always))
    assert {each.reason for each in found.admission} == {"the server did not answer"}
    assert len(found.problems) == 1
    assert len(applied_names(world)) == 1


def test_changes_by_admission_are_reported():
    world = declared()

    class Labelling(Spy):
        def apply(self, body, options):
            answer = super().apply(body, options)
            labels = {**answer["metadata"].get("labels", {}), "mesh": "on"}
            return {**answer, "metadata": {**answer["metadata"], "labels": labels}}

    planned = world.plan()
    found = world.reconciler(wrap=lambda cluster: Labelling(cluster, [])).dry_run(planned)
    assert isinstance(result_of(found, "Service"), AlteredObject)
    assert result_of(found, "Service").fields[0].path == "metadata.labels.mesh"
