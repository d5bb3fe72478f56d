"""No known secret shows in any field or output format."""

import base64
import json

import pytest

from reconcile.core.changes import (
    ABSENT,
    Create,
    Drift,
    FieldChange,
    Hold,
    HoldReason,
    InPlace,
    LiveRef,
    Outcome,
    Patch,
    Plan,
    SessionPlan,
    Status,
)
from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.mask.text import build_file_test
from reconcile.core.plan.dry_run import AdmissionChange, AlteredObject, RefusedObject, UntriedObject
from reconcile.core.report.problems import Findings, format_problems
from reconcile.core.report.results import format_admission, format_finished_outcomes
from reconcile.core.report.view import LiveCluster, PlanReport
from tests.core.mask.mask_samples import ORDINARY, SPOKEN, TOKENS
from tests.core.mask.test_objects import SECRET_NAMES
from tests.core.report.formats import every_form
from tests.core.report.sample_plans import FIX_LOGIN, manifest

SECRETS = {**{name: (f"use {token} here", token) for name, token in TOKENS.items()}, **SPOKEN}
LIVE = LiveRef("uid", "1")

PLACES = {
    "prompt": "data.prompt",
    "argument": "spec.containers[runner].args",
    "variable": "spec.containers[runner].env[NOTE].value",
    "annotation": "metadata.annotations[example.com/note]",
    "label": "metadata.labels.note",
    "repository": "data[repos.json]",
    "field": "spec.note",
}


def change(path, before, after):
    return FieldChange(
        path, before, after, InPlace(), Drift("kubectl-edit", "2026-01-31T12:00:00Z")
    )


def in_a_place(place, text):
    """A value for a field that contains the text."""
    match place:
        case "argument":
            return ["--verbose", text]
        case "repository":
            return json.dumps([{"url": text, "branch": "main"}])
        case "prompt":
            return f"First line.\n\n  {text}\n\nLast line.\n"
        case _:
            return text


def report_with(path, value, text):
    """A plan with the value in a patch, a held patch and a create, and the text in its findings."""
    body = manifest("ConfigMap", "one", data={"note": value})
    fields = (change(path, "old", value), change(path, value, ABSENT))
    operation = {"op": "replace", "path": "/data/note", "value": value}
    patch = Patch(body, LIVE, fields, (operation,))
    changes = (Create(body), patch, Hold(patch, HoldReason.CONFLICT))
    plan = Plan("default", "r1", (SessionPlan(FIX_LOGIN, changes),))
    problems = (Problem("team-a/one.yaml", 1, 1, "spec.note", text),)
    admission = (
        RefusedObject(body.ref, f'Invalid value: "{text}"'),
        AlteredObject(
            body.ref, (AdmissionChange(path, value, ABSENT), AdmissionChange(path, "x", value))
        ),
        UntriedObject(body.ref, f"not found: {text}"),
    )
    findings = Findings(problems, problems)
    return PlanReport(plan, "sha256:d", findings, LiveCluster(), "desired", admission)


def reported(report, text):
    """Everything that may be printed about a plan and an apply."""
    yield from every_form(report, Masker())
    yield "\n".join(format_admission(report, Masker()))
    yield format_problems(report.findings, Masker())
    outcomes = [Outcome(change, Status.FAILED, text) for change in report.plan.changes]
    yield format_finished_outcomes(outcomes, Masker())


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_shows_in_any_format_or_field(place):
    shown = []
    for name, (text, secret) in SECRETS.items():
        value = in_a_place(place, text)
        report = report_with(PLACES[place], value, text)
        shown += [(name, form) for form in reported(report, text) if secret in form]
    assert shown == []


@pytest.mark.parametrize("name", TOKENS)
def test_a_token_is_hidden_whole_and_nothing_around_it(name):
    text = f"use '{TOKENS[name]}', then go"
    assert Masker().mask_text(text) == "use '\u2039masked #1\u203a', then go"


@pytest.mark.parametrize("text", ORDINARY)
def test_text_that_only_resembles_a_secret_is_not_masked(text):
    assert Masker().mask_text(text) == text


def test_a_changed_line_in_a_long_prompt_shows_that_it_changed_and_nothing_else():
    lines = [f"line {number}" for number in range(200)]
    tokens = (TOKENS["ghp_*"], TOKENS["glpat-*"])
    sides = ["\n".join([*lines[:100], f"use {token}", *lines[100:]]) for token in tokens]
    fields = (change("data.prompt", *sides),)
    patch = Patch(manifest("ConfigMap", "one"), LIVE, fields, ())
    plan = Plan("default", "r1", (SessionPlan(FIX_LOGIN, (patch,)),))
    report = PlanReport(plan, "sha256:d", Findings(), LiveCluster(), "desired")
    text = next(iter(every_form(report, Masker())))
    assert "- use \u2039masked #1\u203a" in text
    assert "+ use \u2039masked #2\u203a" in text


def test_a_key_whose_middle_line_changed_is_hidden_whole_on_both_sides():
    def key(middle):
        lines = [
            "-----BEGIN RSA PRIVATE KEY-----",
            "A" * 64,
            middle,
            "-----END RSA PRIVATE KEY-----",
        ]
        return "\n".join(["before", *lines, "after"])

    shown = Masker().mask_change(
        manifest("ConfigMap", "one").ref, change("data.prompt", key("B" * 64), key("C" * 64))
    )
    assert shown.before == "before\n\u2039masked #1\u203a\nafter"
    assert shown.after == "before\n\u2039masked #2\u203a\nafter"


def test_what_a_secret_holds_as_json_is_known_elsewhere():
    inner = json.dumps({"auths": {"r": {"password": "c4nary-Zx81"}}})
    masker = Masker()
    encoded = base64.b64encode(inner.encode()).decode()
    masker.learn({"kind": "Secret", "data": {".dockerconfigjson": encoded}})
    assert "c4nary" not in masker.mask_text("login with c4nary-Zx81 failed")


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_known_value_is_known_in_base64_with_and_without_padding(encode):
    value = "c4nary??>>~Zx81"
    masker = Masker()
    masker.learn({"kind": "Secret", "stringData": {"a": value}})
    form = encode(value.encode()).decode()
    for shown in (form, form.rstrip("=")):
        assert masker.mask_text(f"got {shown} back").startswith("got \u2039masked #1\u203a")


def test_marks_are_the_same_in_each_run():
    text = SPOKEN["url"][0]
    report = report_with("data.prompt", in_a_place("prompt", text), text)
    assert [*reported(report, text)] == [*reported(report, text)]


CONTEXTS = [text for text, _ in SPOKEN.values() if "api.telegram" not in text]


@pytest.mark.parametrize("text", [*CONTEXTS, *(f"{name}: x9" for name in SECRET_NAMES)])
def test_a_file_that_names_a_secret_is_read_for_it(text):
    assert build_file_test(())(f"spec:\n  {text}\n")


def test_a_file_without_a_hint_is_not_read():
    text = "runner: {envFrom: [{secretRef: {name: runner-secrets}}]}\nGATE_NUMBER: 1\n"
    assert not build_file_test(())(text)
    assert build_file_test(("GATE_*",))("GATE: 1\nGATE_X: k9\n")
