"""The labels and annotations of `defaults.yaml`, which all objects get."""

import pytest

from reconcile.core.model import ObjectMetadata
from tests.core.spec.documents import document, problems, read, session, warnings
from tests.core.spec.trees import tree


def defaults(metadata):
    """The text of defaults.yaml with this metadata in flow style."""
    return document("SessionDefaults").replace("spec:", f"metadata: {metadata}\nspec:")


def one(found):
    assert found.problems == ()
    [session] = found.sessions
    return session


def test_a_session_has_them_and_may_set_others_or_other_values():
    found = tree(
        defaults=defaults("{labels: {team: all, tier: a}, annotations: {note: all}}"),
        team_a__x=session(metadata="labels: {team: own, more: b}\nannotations: {other: c}"),
    )
    assert one(found).labels == {"team": "own", "tier": "a", "more": "b"}
    assert one(found).annotations == {"note": "all", "other": "c"}
    assert found.metadata == ObjectMetadata({"team": "all", "tier": "a"}, {"note": "all"})


def test_the_digest_of_a_session_changes_with_them():
    plain, labelled = (
        one(tree(defaults=defaults(metadata), team_a__x=session()))
        for metadata in ("{}", "{labels: {a: b}}")
    )
    assert plain.digest != labelled.digest


def test_a_null_sets_nothing():
    found = tree(defaults=defaults("{labels: {a: null}}"), team_a__x=session())
    assert found.metadata == ObjectMetadata()
    assert one(found).labels == {}


def test_a_session_cannot_take_one_back():
    found = tree(
        defaults=defaults("{labels: {team: all}}"),
        team_a__x=session(metadata="labels: {team: null}"),
    )
    assert one(found).labels == {"team": "all"}
    [warning] = found.warnings
    assert str(warning) == (
        "team-a/x.yaml:5:12: metadata.labels.team: null has no effect: what defaults.yaml sets "
        "for all objects stays"
    )


RULES = "allow: {labels: [topic], annotations: [note]}"
ROLE = "eks.amazonaws.com/role-arn"


@pytest.mark.parametrize("policy", [RULES, "allow: {}", "installation: a"])
def test_no_rule_bounds_them_and_no_wish_is_warned_of(policy):
    found = tree(
        policy=document("Policy", policy),
        defaults=defaults(f"{{labels: {{app: x}}, annotations: {{{ROLE}: x}}}}"),
        team_a__x=session(),
    )
    assert one(found).labels == {"app": "x"}
    assert {warning.field for warning in found.warnings} <= {"spec.allow"}


def test_a_rule_bounds_the_same_key_in_a_session():
    found = tree(
        policy=document("Policy", RULES),
        defaults=defaults("{labels: {app: x}}"),
        team_a__x=session(metadata="labels: {app: x}"),
    )
    [problem] = found.problems
    assert problem.path == "team-a/x.yaml"
    assert problem.field == "metadata.labels.app"


@pytest.mark.parametrize("field", ["labels", "annotations"])
@pytest.mark.parametrize(
    "key",
    [
        "app.kubernetes.io/managed-by",
        "reconcile.ambient-code.io/installation",
        "reconcile.ambient-code.io/session",
        "reconcile.ambient-code.io/digest",
        "reconcile.ambient-code.io/adopt",
    ],
)
def test_the_reconcilers_own_keys_are_refused_with_their_place(field, key):
    text = defaults(f"\n  {field}:\n    {key}: x")
    [problem] = problems(text, "defaults.yaml")
    assert problem.startswith(f"defaults.yaml:5:5: metadata.{field}")
    assert "is reserved: the reconciler sets it itself" in problem


def test_a_value_that_no_server_accepts_is_refused():
    [problem] = problems(defaults("{labels: {a: b c}}"), "defaults.yaml")
    assert problem.startswith("defaults.yaml:3:24: metadata.labels.a: must be letters")


@pytest.mark.parametrize(
    ("kind", "path"), [("ProjectSettings", "team-a/project.yaml"), ("Policy", "policy.yaml")]
)
def test_other_settings_have_none_and_say_so(kind, path):
    text = document(kind).replace("spec:", "metadata: {labels: {a: b}}\nspec:")
    [warning] = warnings(text, path)
    assert warning.startswith(f"{path}:3:12: metadata.labels: has no effect here: defaults.yaml")
    assert read(text, path).problems == ()
    empty = text.replace("{a: b}", "{}")
    assert warnings(empty, path) == []


def test_labels_of_a_project_are_not_those_of_its_sessions():
    project = document("ProjectSettings").replace("spec:", "metadata: {labels: {a: b}}\nspec:")
    found = tree(team_a__project=project, team_a__x=session())
    assert one(found).labels == {}
    assert found.metadata == ObjectMetadata()
