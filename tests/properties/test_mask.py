"""Secrets in any secret place never show in any output, and masking twice changes nothing."""

import base64
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.changes import (
    ABSENT,
    Commit,
    Create,
    FieldChange,
    ForcesReplace,
    Hold,
    HoldReason,
    LiveRef,
    Outcome,
    Patch,
    Plan,
    Replace,
    SessionPlan,
    Status,
)
from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.model import Kind, Manifest, ObjectRef, SessionId
from reconcile.core.report.escape import escape_controls
from reconcile.core.report.json_output import outcomes_json, problems_json, to_json
from reconcile.core.report.problems import Findings, format_problems
from reconcile.core.report.results import format_finished_outcomes
from tests.core.report.formats import every_form
from tests.core.report.sample_plans import report

SESSION = SessionId("team-a", "fix-login")
LIVE = LiveRef("uid", "1")

NAMES = st.sampled_from(["API_TOKEN", "dbPassword", "x-api-key", "AUTH", "SENTRY_DSN", "A_PIN"])
CORE = "q7Zx"
CANARIES = st.builds(
    lambda head, tail: f"{head}{CORE}{tail}",
    st.text(st.characters(codec="utf-8", exclude_characters="\u2039\u203a"), max_size=12),
    st.text(st.characters(codec="utf-8", exclude_characters="\u2039\u203a"), max_size=12),
)
"""Values around a core that no other text of these tests has."""

PROSE = st.text(max_size=40)


def env(name, value):
    return {"name": "runner", "env": [{"name": name, "value": value}]}


def manifest(kind, body):
    ref = ObjectRef("", kind, "team-a", f"x-{kind.lower()}")
    return Manifest(ref, Kind("v1", kind), SESSION, {"kind": kind, **body}, "d", "t")


@st.composite
def changes(draw):
    """A manifest with a secret in one of all the secret places, and a change that shows it."""
    name, new, old, prose = draw(NAMES), draw(CANARIES), draw(CANARIES), draw(PROSE)
    encoded = base64.b64encode(new.encode()).decode()
    kind, body, field, pointer = draw(
        st.sampled_from(
            [
                (
                    "Pod",
                    {"spec": {"containers": [env(name, new)]}},
                    (f"spec.containers[runner].env[{name}].value", old, new),
                    ("/spec/containers/0/env/0/value", new),
                ),
                (
                    "Pod",
                    {"spec": {"containers": [env(name, new)]}},
                    ("spec.containers[runner]", ABSENT, env(name, new)),
                    ("/spec/containers/-", env(name, new)),
                ),
                (
                    "Secret",
                    {"data": {"any": encoded}},
                    ("data.any", base64.b64encode(old.encode()).decode(), encoded),
                    ("/data/any", encoded),
                ),
                (
                    "Secret",
                    {"stringData": {"any": new}},
                    ("stringData", {"any": old}, {"any": new}),
                    ("/stringData", {"any": new}),
                ),
                (
                    "ConfigMap",
                    {"data": {name: new, "doc": json.dumps({name: new})}},
                    ("data.doc", prose, json.dumps({name: new})),
                    ("/data/doc", json.dumps({"deep": [{name: new}]})),
                ),
                (
                    "Pod",
                    {"metadata": {"annotations": {name: new}}},
                    (f"metadata.annotations[{name}]", old, new),
                    (f"/metadata/annotations/{name}", new),
                ),
                (
                    "Pod",
                    {"spec": {"containers": [{"args": [f"--{name}", new]}]}},
                    ("spec.containers[runner].args", [prose], [f"--{name}", new]),
                    ("/spec/containers/0/args/1", new),
                ),
            ]
        )
    )
    wanted = manifest(kind, body)
    path, before, after = field
    fields = (FieldChange(path, before, after, ForcesReplace(), Commit()),)
    operation = {"op": "add", "path": pointer[0], "value": pointer[1]}
    change = draw(
        st.sampled_from(
            [
                Patch(wanted, LIVE, fields, (operation,)),
                Replace(wanted, LIVE, fields),
                Hold(Patch(wanted, LIVE, fields, (operation,)), HoldReason.RUNNING_WORK),
            ]
        )
    )
    return new, change


def outputs(new, change, masker):
    plan = Plan("default", "r", (SessionPlan(SESSION, (change, Create(manifest("Pod", {})))),))
    findings = Findings((Problem("a.yaml", 1, 2, "spec.x", f"API_TOKEN={new!r}"),))
    outcome = Outcome(change, Status.FAILED, f"is invalid: {json.dumps({'value': new})}")
    yield from every_form(report(plan, findings), masker)
    yield format_finished_outcomes((outcome,), masker)
    yield to_json(outcomes_json(plan, (outcome,), findings, masker))
    yield format_problems(findings, masker)
    yield to_json(problems_json(findings, masker))


@settings(deadline=None)
@given(changes())
def test_a_secret_in_any_secret_place_shows_in_no_output(case):
    new, change = case
    for text in outputs(new, change, Masker(("*_PIN",))):
        assert CORE not in text


@settings(deadline=None)
@given(changes())
def test_no_output_has_terminal_control_sequences(case):
    new, change = case
    for text in outputs(new, change, Masker()):
        assert all(escape_controls(line) == line for line in text.split("\n"))


@settings(deadline=None)
@given(changes())
def test_masking_an_object_twice_changes_nothing(case):
    _, change = case
    masker = Masker()
    wanted = change.change if isinstance(change, Hold) else change
    once = masker.mask_object(wanted.manifest.body)
    assert masker.mask_object(once) == once


SNIPPETS = st.sampled_from(
    [
        *(
            "token=",
            "password: ",
            "://",
            "@",
            ":",
            " ",
            "\n",
            '"',
            "'",
            "\\",
            "Bearer ",
            "--token ",
        ),
        *("ghp_0123456789abcdef", "eyJhbGciOiJIUzI1NiJ9", "a b c", "hunter22", "hunter", "#1"),
        *(
            "\u2039masked #1\u203a",
            "\u2039masked #",
            "\u203a",
            "| \n  x",
            "name: A_TOKEN",
            "value:",
        ),
    ]
)


@settings(deadline=None)
@given(st.lists(st.one_of(SNIPPETS, st.text(max_size=4))).map("".join))
def test_masking_a_text_twice_changes_nothing(text):
    masker = Masker()
    masker.learn({"stringData": {"A_TOKEN": "hunter22", "B_TOKEN": "a b c", "C_TOKEN": "er22@x"}})
    once = masker.mask_text(text)
    assert "hunter22" not in once
    assert masker.mask_text(once) == once


@settings(deadline=None)
@given(CANARIES, CANARIES, NAMES)
def test_equal_values_have_equal_marks_and_others_have_others(left, right, name):
    masker = Masker(("*_PIN",))
    one, other = (
        masker.mask_object({"env": [{"name": name, "value": value}]}) for value in (left, right)
    )
    assert (one == other) == (left == right)
