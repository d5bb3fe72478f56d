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
from reconcile.core.model import DesiredSession, Policy
from reconcile.core.plan.approval import (
    ChangeClass,
    ContentDigests,
    compute_plan_digest,
    iter_committed_changes,
    iter_planned_changes,
)
from tests.builders import (
    body,
    config_map,
    container,
    desired,
    desired_by,
    live_ref,
    manifest,
    pod,
    service,
    session,
    session_id,
)

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
    return digest_of(plan(*changes, **fields))


def digest_of(of, policy=None):
    return compute_plan_digest(of, desired_by(of, policy=policy))


def planned(*changes, of=iter_planned_changes):
    """The rows of the digest."""
    made = plan(*changes)
    return list(of(made, ContentDigests(desired_by(made))))


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
    assert [deed.change_class for deed in planned(change)] == [kind]


def test_drift_alone_is_not_a_committed_change():
    drifted = replace(patch(SERVICE), fields=(field(InPlace(), Drift("kubectl")),))
    kept = Keep(INPUTS.ref, live_ref(INPUTS.ref), "d")
    assert planned(drifted, kept, of=iter_committed_changes) == []
    assert len(planned(drifted)) == 1


def test_without_drift_a_change_is_what_the_commit_makes_of_it():
    fields = (field(ForcesReplace(), Drift()), field(InPlace()))
    both = replace(replaced(POD), fields=fields)
    assert [deed.change_class for deed in planned(both)] == [ChangeClass.RESTART]
    committed = planned(both, of=iter_committed_changes)
    assert [deed.change_class for deed in committed] == [ChangeClass.PATCH]


def test_a_change_without_fields_is_a_committed_change():
    changes = (Create(POD), delete(INPUTS), replace(patch(SERVICE, adopts=True), fields=()))
    assert len(planned(*changes, of=iter_committed_changes)) == 3


def with_variable(name, value):
    """The creation of a pod whose runner has this variable, and a second one."""
    variables = [{"name": name, "value": value}, {"name": "COLOUR", "value": "red"}]
    return Create(manifest(pod(containers=[container(env=variables)])))


@pytest.mark.parametrize("name", ["DOOR_TOKEN", "DB_PASSWORD"])
def test_a_secret_cannot_be_found_from_the_digest_by_trying(name):
    codes = {digest(with_variable(name, f"{code:04}")) for code in range(50)}
    assert len(codes) == 1


def test_the_names_of_the_policy_count_as_secret():
    of = [plan(with_variable("COMBINATION", code)) for code in ("4711", "4712")]
    assert digest_of(of[0]) != digest_of(of[1])
    policy = Policy(mask=("COMBINATION",))
    assert digest_of(of[0], policy) == digest_of(of[1], policy)


def test_the_data_of_a_secret_are_not_in_it_but_their_keys_are():
    one, two, other = (
        Create(manifest(body("Secret", "s", data=data)))
        for data in ({"pin": "NDcxMQ=="}, {"pin": "NDcxMg=="}, {"key": "NDcxMQ=="})
    )
    assert digest(one) == digest(two)
    assert digest(one) != digest(other)


def test_a_digest_that_a_template_computes_from_a_secret_is_not_in_it():
    token = pod(containers=[container(env=[{"name": "TOKEN", "value": "4711"}])])
    one, two = (
        digest(Create(manifest(token)), Create(manifest(config_map(data={"of": f"{n:064x}"}))))
        for n in (1, 2)
    )
    assert one == two


def test_a_digest_that_the_session_declares_is_in_it():
    def of(checksum):
        variables = {"CHECKSUM": checksum, "TOKEN": "4711"}
        env = [{"name": name, "value": value} for name, value in variables.items()]
        made = manifest(pod(containers=[container(env=env)]))
        spec = {"environmentVariables": variables}
        declared = desired(DesiredSession(session(spec=spec), (made,)))
        return compute_plan_digest(plan(Create(made)), declared)

    assert of(f"{1:064x}") != of(f"{2:064x}")


def test_what_stands_next_to_a_secret_is_in_it():
    assert digest(with_variable("DOOR_TOKEN", "1")) != digest(with_variable("DOOR_HANDLE", "1"))
    image = pod(containers=[container(image="runner:2", env=[{"name": "TOKEN", "value": "1"}])])
    other = pod(containers=[container(env=[{"name": "TOKEN", "value": "1"}])])
    assert digest(Create(manifest(image))) != digest(Create(manifest(other)))


def test_a_value_that_admission_changed_is_not_in_it():
    stored = manifest(pod(containers=[container(image="mirror.example/runner:1")]))
    made = plan(replace(patch(POD), manifest=replace(POD, body=stored.body)))
    declared = desired(DesiredSession(session(), (POD,)))
    assert compute_plan_digest(made, declared) == digest(patch(POD))


@pytest.mark.parametrize("name", ["TOKEN", "COLOUR"])
def test_what_a_template_writes_counts_in_every_session_as_in_the_first(name):
    def of(value):
        env = [{"name": name, "value": value}]
        sessions = []
        for each in (session("one"), session("two")):
            rendered = pod(f"{each.id.name}-runner", containers=[container(env=env)])
            sessions.append(DesiredSession(each, (manifest(rendered, each),)))
        plans = (SessionPlan(each.session.id, (Create(*each.manifests),)) for each in sessions)
        made = Plan("default", "r", tuple(plans))
        return compute_plan_digest(made, desired(*sessions))

    assert (of("4711") == of("4712")) is (name == "TOKEN")


def test_a_secret_annotation_of_one_session_does_not_change_the_digest_of_another():
    secret = {"example.com/api-token": "hunter2-4711"}
    one, two = session("one", annotations=secret), session("two")
    first, second = pod("one-runner"), pod("two-runner")
    first["metadata"]["annotations"] = secret
    sessions = [
        DesiredSession(each, (manifest(of, each),)) for each, of in ((one, first), (two, second))
    ]
    [made] = sessions[1].manifests
    alone, both = ContentDigests(desired(*sessions)), ContentDigests(desired(*sessions))
    both.find(*sessions[0].manifests)
    assert both.find(made) == alone.find(made)
