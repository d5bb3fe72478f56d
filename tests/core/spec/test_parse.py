"""Parsing of one file into what it declares, or into all problems."""

import pytest

from reconcile.core.model import ObjectMetadata, Origin, SessionId, SessionState
from reconcile.core.spec.declarations import (
    IgnoredFile,
    InvalidFile,
    SettingsFile,
)
from reconcile.core.spec.parse import parse_file
from reconcile.engine.desired import iter_declared_values
from tests.core.spec.documents import HEAD, only, problems, read, session, warnings

EMPTY = "has no document: delete the file if it should not declare anything"
EXPORTED = """\
apiVersion: vteam.ambient-code/v1alpha1
kind: AgenticSession
metadata:
  annotations:
    ambient-code.io/desired-phase: Running
    ambient-code.io/runner-sa: ambient-session-agentic-session-1760000000
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"vteam.ambient-code/v1alpha1","kind":"AgenticSession"}
  creationTimestamp: "2026-01-05T10:00:00Z"
  finalizers: []
  generation: 3
  labels:
    team: web
  managedFields:
  - manager: backend
    operation: Update
  name: agentic-session-1760000000
  namespace: team-a
  ownerReferences: []
  resourceVersion: "4711"
  selfLink: /apis/x
  uid: 0b0f3a64-0000-4000-8000-000000000000
spec:
  autoPushOnComplete: false
  displayName: Fix the login
  environmentVariables:
    PARENT_SESSION_ID: agentic-session-1750000000
  initialPrompt: Find out why
  interactive: true
  llmSettings:
    maxTokens: 4000
    model: claude-3-7-sonnet-latest
    temperature: 0.7
  project: team-a
  repos:
  - branch: main
    url: https://github.com/example/shop.git
  timeout: 300
  userContext:
    displayName: Someone
    groups:
    - web
    userId: someone
status:
  conditions:
  - type: Ready
  phase: Running
"""


def test_a_session_has_its_settings_and_its_origin():
    declared = only("# first\n" + session("timeout: 5\nmaxDuration: 1h30m\nstorage: {size: 5}"))
    assert declared.id == SessionId("team-a", "fix-login")
    assert declared.origin == Origin("team-a/x.yaml", 2, 1)
    assert declared.state is SessionState.RUNNING
    assert declared.layer == {"timeout": 5, "maxDuration": 5400, "storage": {"size": "5"}}


def test_null_means_not_set():
    spec = "timeout: null\nrunner: {image: null, nodeSelector: {a: null, b: c}}\nrepos: ~"
    declared = only(session(spec))
    assert declared.layer == {"runner": {"nodeSelector": {"a": None, "b": "c"}}}
    assert sorted(path for path, _ in declared.nulls) == [
        ("repos",),
        ("runner", "image"),
        ("timeout",),
    ]


def test_null_labels_and_annotations_are_left_out():
    metadata = "metadata: {name: a, labels: {a: null, b: c}, annotations: {d: null}}"
    declared = only(f"{HEAD}{metadata}")
    assert declared.metadata == ObjectMetadata({"b": "c"})
    place = "team-a/x.yaml:3:"
    stays = "null has no effect: what defaults.yaml sets for all objects stays"
    assert warnings(f"{HEAD}{metadata}") == [
        f"{place}30: metadata.labels.a: {stays}",
        f"{place}60: metadata.annotations.d: {stays}",
    ]


def test_a_session_without_spec_is_a_session():
    assert only(f"{HEAD}metadata: {{name: a}}").layer == {}


def test_a_session_exported_from_the_platform_is_accepted_unchanged():
    declared = only(EXPORTED)
    assert declared.id == SessionId("team-a", "agentic-session-1760000000")
    assert declared.state is SessionState.RUNNING
    assert declared.metadata.labels == {"team": "web"}
    assert declared.metadata.annotations == {}
    assert warnings(EXPORTED) == [
        "team-a/x.yaml:34:3: spec.project: has no effect here: only the platform uses it",
        "team-a/x.yaml:41:5: spec.userContext.groups: is accepted, but has no effect yet",
    ]


def test_an_exported_list_of_sessions_is_accepted():
    items = "".join(
        f"- apiVersion: vteam.ambient-code/v1alpha1\n  kind: AgenticSession\n"
        f"  metadata: {{name: {name}}}\n  spec: {{timeout: {timeout}}}\n"
        for name, timeout in (("a", 1), ("b", 2))
    )
    text = f"apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n{items}"
    content = read(text).content
    assert [(one.id.name, one.origin.line) for one in content.declarations] == [("a", 5), ("b", 9)]
    assert problems(text.replace("timeout: 2", "timout: 2")) == [
        "team-a/x.yaml:12:10: items[1].spec.timout: unknown field; did you mean `timeout`?"
    ]
    assert problems("apiVersion: v1\nkind: List\nitems: 1") == [
        "team-a/x.yaml:2:7: kind: unknown kind: must be AgenticSession"
    ]


@pytest.mark.parametrize("phase", ["Stopped", "Completed", "Failed"])
def test_an_exported_terminal_phase_means_stopped_unless_the_file_says_otherwise(phase):
    status = f"status: {{phase: {phase}}}\n"
    assert only(session("timeout: 1") + status).state is SessionState.STOPPED
    assert only(session("state: Running") + status).state is SessionState.RUNNING


@pytest.mark.parametrize("status", ["{phase: Running}", "{phase: [Stopped]}", "{}", "Stopped", ""])
def test_any_other_status_means_running(status):
    assert only(session("timeout: 1") + f"status: {status}\n").state is SessionState.RUNNING


def test_the_platforms_annotation_means_stopped_unless_the_file_says_otherwise():
    metadata = "annotations: {ambient-code.io/desired-phase: Stopped}"
    assert only(session("timeout: 1", metadata=metadata)).state is SessionState.STOPPED
    assert only(session("state: Running", metadata=metadata)).state is SessionState.RUNNING


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a", ":1:1: a document must be a mapping, not a list"),
        ("hello", ":1:1: a document must be a mapping, not text"),
        ("kind: AgenticSession", ":1:1: `apiVersion` is missing|:1:1: `metadata` is missing"),
        ("{}", ":1:1: kind: must be AgenticSession"),
        ("kind: 3", ":1:7: kind: must be AgenticSession"),
        (
            "kind: AgentSession",
            ":1:7: kind: unknown kind: must be AgenticSession; did you mean `AgenticSession`?",
        ),
        ("kind: Pod", ":1:7: kind: unknown kind: must be AgenticSession"),
        ("kind: Policy", ":1:7: kind: must be AgenticSession here: Policy belongs in policy.yaml"),
        (
            "apiVersion: vteam.ambient-code/v1\nkind: AgenticSession\nmetadata: {name: a}",
            ":1:13: apiVersion: must be vteam.ambient-code/v1alpha1",
        ),
        (f"{HEAD}metadata: a", ":3:11: metadata: must be a mapping, not text"),
        (f"{HEAD}metadata: {{}}", ":3:11: metadata: `name` is missing"),
        (
            f"{HEAD}metadata: {{name: a, annotations: 1}}",
            ":3:34: metadata.annotations: must be a mapping, not a number",
        ),
        (f"{HEAD}metadata: {{name: a}}\nspec: []", ":4:7: spec: must be a mapping, not a list"),
        (
            f"{HEAD}metadata: {{name: a}}\nspek: {{}}",
            ":4:1: spek: unknown field; did you mean `spec`?",
        ),
        ("", f": {EMPTY}"),
        ("# only this\n---\n", f": {EMPTY}"),
        ("a: [", ":2:1: is not valid YAML: a `[` or `{` that is not closed, or a stray comma"),
    ],
)
def test_a_document_that_is_not_a_session_is_refused(text, expected):
    assert problems(text) == [f"team-a/x.yaml{line}" for line in expected.split("|")]


def test_bytes_that_are_not_utf_8_are_refused():
    result = parse_file("team-a/x.yaml", b"\xff")
    assert [str(one) for one in result.problems] == [
        "team-a/x.yaml:1:1: is not UTF-8: byte 0xff does not belong here"
    ]


def test_all_problems_of_a_file_are_reported_in_the_order_of_its_lines():
    text = session("timeout: x\nzzz: 1", name="A") + "---\n" + session("state: x", name="b")
    assert [line.split(": ")[0] for line in problems(text)] == [
        "team-a/x.yaml:4:9",
        "team-a/x.yaml:6:12",
        "team-a/x.yaml:7:3",
        "team-a/x.yaml:14:10",
    ]
    assert read(text).content == InvalidFile(frozenset({SessionId("team-a", "b")}))


def test_a_document_with_problems_still_names_its_session():
    text = f"{HEAD}metadata: {{name: a}}\nspec: 1\n---\nkind: AgentSession\nmetadata: {{name: b}}"
    names = frozenset({SessionId("team-a", "a"), SessionId("team-a", "b")})
    assert read(text).content == InvalidFile(names)


def test_empty_documents_between_others_are_left_out():
    assert only("---\n" + session("timeout: 1") + "---\n").id.name == "fix-login"


def test_another_namespace_than_the_folder_is_refused():
    metadata = "namespace: team-b"
    assert problems(session("timeout: 1", metadata=metadata)) == [
        (
            "team-a/x.yaml:5:14: metadata.namespace: must be team-a, the folder's name: "
            "move the file or remove this line"
        )
    ]


def test_the_problems_of_a_file_are_limited():
    found = problems(session("\n".join(f"x{n}: 1" for n in range(150))))
    assert len(found) == 101
    assert found[-1] == "team-a/x.yaml: and 50 more like these"


def test_what_any_file_declares_is_available_to_a_masker():
    good = "apiVersion: vteam.ambient-code/v1alpha1\nkind: AgenticSession\nmetadata: {name: b}\n"
    declared = list(iter_declared_values(read(f"{good}spec: {{timeout: 5}}\n").content))
    assert declared == [
        {
            "metadata": {"namespace": "team-a", "name": "b", "labels": {}, "annotations": {}},
            "spec": {"timeout": 5},
        }
    ]
    broken = list(iter_declared_values(read(f"{good}spec: {{timeout: x}}\n").content))
    assert broken[0]["spec"] == {"timeout": "x"}
    settings = SettingsFile({"timeout": 5}, metadata=ObjectMetadata({"a": "b"}, {"c": "d"}))
    assert list(iter_declared_values(settings)) == [
        {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {"timeout": 5}}
    ]
    assert not list(iter_declared_values(IgnoredFile()))


def old_repos(repos):
    return session(f"repos: [{repos}]")


def test_repositories_of_earlier_exports_are_accepted_with_all_that_they_say():
    text = old_repos(
        "{input: {url: https://h/a, branch: b}, output: {url: https://h/c}, autoPush: true}"
    )
    assert only(text).layer["repos"] == [{"url": "https://h/a", "branch": "b", "autoPush": True}]
    assert warnings(text) == [
        "team-a/x.yaml:6:50: spec.repos[0].output: has no effect here: only the platform uses it"
    ]


@pytest.mark.parametrize(
    ("repo", "problem"),
    [
        ("{input: {branch: b}}", "`url` is missing"),
        ("{input: {url: 5}}", "repos[0].url: must be text"),
        ("{input: 5}", "repos[0].input: unknown field"),
        ("{input: {url: https://h/a}, url: https://h/b}", "repos[0].input: unknown field"),
        ("{input: {url: https://h/a, autoPush: true}, autoPush: false}", "input: unknown field"),
        ("{input: {url: https://h/a}, branch: b, other: c}", "repos[0].other: unknown field"),
    ],
)
def test_a_repository_of_another_form_is_refused(repo, problem):
    assert any(problem in text for text in problems(old_repos(repo)))


@pytest.mark.parametrize("spec", ["repos: 5", "repos: {input: {url: x}}", "repos: [5]"])
def test_repositories_that_are_no_list_of_mappings_are_refused(spec):
    assert problems(session(spec))


@pytest.mark.parametrize("path", ["s1.yaml", "a.yaml", "fix.yaml", "session.yml"])
def test_a_session_at_the_top_of_the_tree_is_not_proposed_as_defaults(path):
    (problem,) = problems(session("timeout: 1"), path)
    assert problem.endswith("in a folder with the name of their namespace")


@pytest.mark.parametrize(
    ("path", "near"),
    [("default.yaml", "defaults"), ("Policy.yml", "policy"), ("polcy.yaml", "policy")],
)
def test_a_name_near_to_that_of_a_settings_file_is_proposed(path, near):
    (problem,) = problems("a: 1", path)
    assert problem.endswith(f"; did you mean `{near}.yaml`?")
