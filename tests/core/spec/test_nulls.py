"""A null takes an inherited entry back, or a warning says that it does not."""

import pytest

from tests.core.spec.documents import HEAD, session
from tests.core.spec.trees import tree

HEADER = "apiVersion: vteam.ambient-code/v1alpha1\n"
USELESS = "null means `not set here`, so the inherited value stays"


def defaults(spec):
    return f"{HEADER}kind: SessionDefaults\nmetadata: {{name: d}}\nspec:\n  {spec}\n"


def project(spec):
    return f"{HEADER}kind: ProjectSettings\nmetadata: {{name: p}}\nspec: {{{spec}}}\n"


def spec_of(found):
    assert not found.problems
    [only] = found.sessions
    return only.spec


MAPS = {
    "environmentVariables: {A: %s}": ("environmentVariables", "A"),
    "runner: {nodeSelector: {a: %s}}": ("runner", "nodeSelector", "a"),
    "runner: {resources: {limits: {nvidia.com/gpu: %s}}}": (
        "runner",
        "resources",
        "limits",
        "nvidia.com/gpu",
    ),
}


def at(spec, path):
    for step in path[:-1]:
        spec = spec[step]
    return spec.get(path[-1])


@pytest.mark.parametrize("text", MAPS)
@pytest.mark.parametrize("layers", ["session", "project", "both"])
def test_a_null_takes_an_entry_of_a_map_back(text, layers):
    null = text % "null"
    found = tree(
        defaults=defaults(text % '"1"'),
        team_a__project=project(null if layers != "session" else ""),
        team_a__x=session(null if layers != "project" else ""),
    )
    assert at(spec_of(found), MAPS[text]) is None
    assert not found.warnings


@pytest.mark.parametrize("text", MAPS)
def test_a_later_layer_sets_again_what_an_earlier_one_took_back(text):
    found = tree(
        defaults=defaults(text % '"1"'),
        team_a__project=project(text % "null"),
        team_a__x=session(text % '"2"'),
    )
    assert at(spec_of(found), MAPS[text]) == "2"


def test_a_built_in_amount_can_be_taken_back():
    null = "runner: {resources: {limits: {cpu: null, memory: null}, requests: {cpu: null}}}"
    found = tree(team_a__x=session(null))
    assert spec_of(found)["runner"]["resources"] == {"limits": {}, "requests": {"memory": "512Mi"}}


FIELDS = ["maxDuration", "runner", "environmentVariables", "repos", "llmSettings"]
SET = {
    "maxDuration": "7",
    "runner": "{port: 1234}",
    "environmentVariables": '{A: "1"}',
    "repos": '[{url: "https://example.org/a.git"}]',
    "llmSettings": "{model: m}",
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_null_that_changes_nothing_is_warned_of(field):
    found = tree(defaults=defaults(f"{field}: {SET[field]}"), team_a__x=session(f"{field}: null"))
    [warning] = found.warnings
    assert (warning.path, warning.field) == ("team-a/x.yaml", f"spec.{field}")
    assert warning.line > 1
    assert warning.message.startswith(USELESS)


def test_a_null_of_a_project_is_warned_of_too():
    found = tree(
        defaults=defaults("runner: {port: 1234}"),
        team_a__project=project("runner: {port: null}"),
        team_a__x=session(""),
    )
    [warning] = found.warnings
    assert (warning.path, warning.field) == ("team-a/project.yaml", "spec.runner.port")


@pytest.mark.parametrize("field", [*(name for name in FIELDS if name != "runner"), "storage"])
def test_a_null_where_nothing_is_inherited_is_fine(field):
    assert not tree(team_a__x=session(f"{field}: null")).warnings


def test_a_null_in_an_exported_list_is_found_at_its_place():
    text = session("runner: {port: null}").replace("\n", "\n    ")
    listed = f"apiVersion: v1\nkind: List\nitems:\n  - {text}\n"
    found = tree(defaults=defaults("runner: {port: 1234}"), team_a__x=listed)
    [warning] = found.warnings
    assert warning.field == "items[0].spec.runner.port"


def test_a_null_in_a_list_is_refused_since_it_would_select_everything():
    peer = "network: {allowFrom: [{podLabels: {app: null}}]}"
    [problem] = tree(team_a__x=session(peer)).problems
    assert problem.field == "spec.network.allowFrom[0].podLabels.app"
    assert "not null" in problem.message


def test_a_document_without_spec_has_no_nulls():
    assert not tree(team_a__x=f"{HEAD}metadata: {{name: a}}\nspec: null\n").warnings
