"""The server's dry-run results as text and JSON: complete, short, and without secrets."""

import json
from dataclasses import replace

import jsonschema
import pytest

from reconcile.core.changes import ABSENT, Create, Plan, SessionPlan
from reconcile.core.mask.masker import Masker
from reconcile.core.plan.dry_run import (
    AcceptedObject,
    AdmissionChange,
    AlteredObject,
    RefusedObject,
    UntriedObject,
)
from reconcile.core.report.json_output import plan_json, to_json
from reconcile.core.report.json_schema import build_report_schema
from reconcile.core.report.markdown import format_markdown
from reconcile.core.report.results import format_admission
from reconcile.core.report.text import format_plan_text
from tests.core.report import sample_plans
from tests.core.report.sample_plans import FIX_LOGIN, ref

TOKEN = "hunter22-new"
ENTRY = {"name": "API_TOKEN", "value": "c4nary-Zx81"}
POD = ref("Pod", "fix-login-runner")
PLAN = Plan("default", "r1", (SessionPlan(FIX_LOGIN, (Create(sample_plans.pod(token=TOKEN)),)),))


def reported(*admission):
    return replace(sample_plans.report(PLAN), admission=admission)


def lines(*admission):
    return list(format_admission(reported(*admission), Masker()))


def document(*admission):
    made = plan_json(reported(*admission), Masker())
    jsonschema.validate(made, build_report_schema())
    return json.loads(to_json(made)).get("admission")


def test_without_a_dry_run_nothing_is_reported():
    assert lines() == []
    assert document() is None
    assert "Server" not in format_plan_text(reported(), Masker())


def test_accepted_objects_are_only_counted():
    assert lines(AcceptedObject(POD)) == [
        "Server dry run: 1 accepted, 0 altered, 0 refused, 0 not tried."
    ]
    assert [each["verdict"] for each in document(AcceptedObject(POD))] == ["accepted"]


def test_a_refusal_comes_first_and_shows_no_secret_that_the_server_quotes():
    refused = RefusedObject(POD, f'apply Pod: invalid: env: Invalid value: "{TOKEN}"\nx')
    found = lines(UntriedObject(ref("Service", "a"), "later"), refused)
    assert found[1].startswith("Pod team-a/fix-login-runner: refused: apply Pod: invalid")
    assert found[1].endswith('"\u2039masked #1\u203a"\\nx')
    assert TOKEN not in json.dumps(document(refused))


def test_an_alteration_is_reported_field_by_field():
    fields = (
        AdmissionChange("spec.containers[runner].image", "i:1", "mirror/i:1"),
        AdmissionChange("spec.containers[proxy].image", ABSENT, "mesh:2"),
        AdmissionChange("spec.hostNetwork", declared=True, admitted=ABSENT),
        AdmissionChange("metadata.annotations[note]", ABSENT, "two\nlines"),
    )
    said = "Pod team-a/fix-login-runner: admission"
    assert lines(AlteredObject(POD, fields))[1:] == [
        f'{said} changes spec.containers[runner].image: "i:1" \u2192 "mirror/i:1"',
        f'{said} adds spec.containers[proxy].image: "mesh:2"',
        f"{said} removes spec.hostNetwork: true",
        f"{said} adds metadata.annotations[note]",
        "    + two",
        "    + lines",
    ]
    [each] = document(AlteredObject(POD, fields))
    assert each["fields"][1] == {"path": "spec.containers[proxy].image", "admitted": "mesh:2"}
    assert each["fields"][2] == {"path": "spec.hostNetwork", "declared": True}


@pytest.mark.parametrize(
    "field",
    [
        AdmissionChange("spec.containers[runner].env[API_TOKEN].value", TOKEN, "c4nary-Zx81"),
        AdmissionChange("spec.containers[runner].env[API_TOKEN]", ABSENT, ENTRY),
        AdmissionChange("metadata.annotations[api-token]", ABSENT, "c4nary-Zx81"),
    ],
)
def test_secrets_in_an_alteration_are_masked_in_every_form(field):
    altered = AlteredObject(POD, (field,))
    shown = "\n".join(lines(altered)) + json.dumps(document(altered))
    assert "c4nary" not in shown
    assert TOKEN not in shown
    assert "masked #1" in shown


def test_untried_objects_are_grouped_by_reason():
    few = [UntriedObject(ref("Pod", name), "the account is missing") for name in ("a", "b")]
    many = [
        UntriedObject(ref("Pod", f"p{n}", "gone"), "the namespace is missing") for n in range(5)
    ]
    assert lines(*few, *many)[1:] == [
        "Pod team-a/a, Pod team-a/b: not tried: the account is missing",
        "5 objects in gone: not tried: the namespace is missing",
    ]
    assert len(document(*few, *many)) == 7


def test_text_has_it_before_the_summary():
    text = format_plan_text(reported(AcceptedObject(POD)), Masker())
    assert text.index("Server dry run") < text.index("Plan: 1 to create")


def test_a_comment_lists_it_as_text_and_within_its_limit():
    hostile = RefusedObject(POD, "no `ticks`, <b>tags</b>, @mentions or ```\n# fences")
    comment = format_markdown(reported(hostile), Masker())
    assert "**Server dry run**" in comment
    [line] = [line for line in comment.splitlines() if "@mentions" in line]
    assert line.startswith("- ````Pod team-a/fix-login-runner: refused:")
    assert line.endswith("# fences````")
    many = [RefusedObject(ref("Pod", f"p{n}"), "x" * 500) for n in range(5000)]
    long = format_markdown(reported(*many), Masker())
    assert len(long.encode()) <= 65_536
    assert "more" in long


def test_a_comment_without_a_dry_run_does_not_mention_one():
    assert "dry run" not in format_markdown(reported(), Masker())
