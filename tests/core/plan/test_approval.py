"""A plan that is not the approved one is refused, and the refusal says where they differ."""

import json
from dataclasses import replace

import pytest

from reconcile.core.changes import (
    Commit,
    Create,
    Drift,
    FieldChange,
    ForcesReplace,
    Hold,
    HoldReason,
    InPlace,
    Patch,
    Plan,
    Replace,
    RestartsContainer,
    SessionPlan,
)
from reconcile.core.mask.masker import Masker
from reconcile.core.plan.approval import (
    Approval,
    compute_plan_digest,
    describe_approval_mismatch,
    parse_approved_digest,
    parse_approved_plan,
)
from reconcile.core.report.json_output import plan_json
from reconcile.core.report.problems import Findings
from reconcile.core.report.view import LiveCluster, PlanReport
from tests.builders import config_map, desired_by, live_ref, manifest, pod, service, session_id

POD, SERVICE, INPUTS = manifest(pod()), manifest(service()), manifest(config_map())
OTHER = "sha256:" + "0" * 64


def plan(*changes):
    return Plan("default", "r", (SessionPlan(session_id(), changes),))


def digest_of(of):
    return compute_plan_digest(of, desired_by(of))


def describe(of, approval):
    return describe_approval_mismatch(of, desired_by(of), approval)


def patch(of, effect, cause=None, **fields):
    field = FieldChange("spec.x", 1, 2, effect, cause or Commit())
    return Patch(of, live_ref(of.ref), (field,), (), **fields)


def replaced(of):
    field = FieldChange("spec.x", 1, 2, ForcesReplace(), Commit())
    return Replace(of, live_ref(of.ref), (field,))


def document(of, **fields):
    report = PlanReport(of, digest_of(of), Findings(), LiveCluster(), "desired")
    return json.dumps({**plan_json(report, Masker()), **fields}).encode()


def approved(*changes, **fields):
    return parse_approved_plan(document(plan(*changes), **fields))


def test_the_approved_plan_is_not_refused():
    of = plan(Create(POD))
    assert describe(of, Approval(digest_of(of))) == ""
    assert describe(of, approved(Hold(Create(POD), HoldReason.TAKEN))) == ""


def test_a_digest_alone_is_shown_with_the_digest_of_the_plan():
    of = plan(Create(POD))
    said = describe(of, Approval(OTHER))
    assert OTHER in said
    assert digest_of(of) in said
    assert "nothing was changed" in said


def test_drift_is_named_where_it_alone_makes_the_difference():
    drifted = patch(SERVICE, InPlace(), Drift("kubectl", "then"))
    said = describe(plan(Create(POD), drifted), Approval(digest_of(plan(Create(POD)))))
    assert "except for drift" in said
    assert f"{SERVICE.ref}: patch, which was not approved" in said
    assert str(POD.ref) not in said


def test_a_change_with_a_larger_effect_by_drift_is_named():
    committed = patch(POD, InPlace())
    fields = (*committed.fields, FieldChange("spec.y", 1, 2, ForcesReplace(), Drift()))
    said = describe(
        plan(Replace(POD, committed.live, fields)), Approval(digest_of(plan(committed)))
    )
    assert f"{POD.ref}: restart, where patch was approved" in said


def test_each_object_that_differs_is_named():
    before = approved(Create(POD), Create(SERVICE), patch(INPUTS, InPlace()))
    said = describe(plan(Create(POD), replaced(INPUTS)), before)
    assert f"{SERVICE.ref}: create was approved, and is no longer planned" in said
    assert f"{INPUTS.ref}: replace, where patch was approved" in said
    assert str(POD.ref) not in said


def test_other_content_of_the_same_changes_is_reported():
    said = describe(plan(Create(manifest(pod(hostname="x")))), approved(Create(POD)))
    assert "same objects in the same ways" in said


@pytest.mark.parametrize(
    "change",
    [
        Create(POD),
        patch(SERVICE, InPlace()),
        patch(SERVICE, InPlace(), adopts=True),
        patch(POD, RestartsContainer("runner")),
        replaced(POD),
        replaced(SERVICE),
        Hold(replaced(POD), HoldReason.RUNNING_WORK),
    ],
)
def test_a_document_has_the_classes_of_its_plan(change):
    of = plan(change)
    reread = replace(parse_approved_plan(document(of)), digest=OTHER)
    assert "same objects in the same ways" in describe(of, reread)


@pytest.mark.parametrize(
    "text", ["", "abc", "sha256:", "sha256:" + "A" * 64, f"{OTHER}\n", f"x{OTHER}"]
)
def test_text_that_is_not_a_digest_is_refused(text):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        parse_approved_digest(text)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        document(plan(), digest="x"),
        document(plan(), digest=1),
        document(plan(), sessions=1),
        document(plan(), sessions=[1]),
        document(plan(), sessions=[{"changes": [{"action": "create"}]}]),
        document(plan(Create(POD))).replace(b'"create"', b'"dance"'),
        document(plan(Create(POD))).replace(b'"Pod"', b'"P\\u001b[31m"'),
    ],
)
def test_a_document_that_is_not_a_plan_is_refused(content):
    with pytest.raises(ValueError, match="is not a plan with a digest"):
        parse_approved_plan(content)
