"""One file becomes what it declares, or every reason why not."""

import pytest

from reconcile.core.model import Budget, OnConflict, Origin, Policy, SessionId, State
from reconcile.core.spec.documents import read_file
from reconcile.core.spec.layout import Role
from reconcile.core.spec.results import Ignored, PolicyFile, Sessions, Settings, Unusable
from tests.core.spec.support import HEAD, document, problems, read, session, warnings

RESERVED = "is reserved: the reconciler sets it itself"
KUBERNETES = "is reserved for Kubernetes"
KEY = "must be a name such as `team` or `example.com/team`"
EMPTY = "has no document: delete the file if nothing is to be declared here"
NAME = (
    "must be lower-case letters, digits and `-`, at most 55 of them: "
    "the session's Service is called `session-<name>`, and Kubernetes takes 63"
)
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


def only(text):
    content = read(text).content
    assert isinstance(content, Sessions)
    (declared,) = content.declared
    return declared


def test_a_session_says_what_it_sets_and_where():
    declared = only("# first\n" + session("timeout: 5\nmaxDuration: 1h30m\nstorage: {size: 5}"))
    assert declared.id == SessionId("team-a", "fix-login")
    assert declared.origin == Origin("team-a/x.yaml", 2, 1)
    assert declared.state is State.RUNNING
    assert declared.layer == {"timeout": 5, "maxDuration": 5400, "storage": {"size": "5"}}


def test_null_means_not_set():
    spec = "timeout: null\nrunner: {image: null, nodeSelector: {a: null, b: c}}\nrepos: ~"
    assert only(session(spec)).layer == {"runner": {"nodeSelector": {"b": "c"}}}


def test_a_session_without_spec_is_a_session():
    assert only(f"{HEAD}metadata: {{name: a}}").layer == {}


def test_a_session_exported_from_the_platform_is_accepted_as_it_is():
    declared = only(EXPORTED)
    assert declared.id == SessionId("team-a", "agentic-session-1760000000")
    assert declared.state is State.RUNNING
    assert declared.labels == {"team": "web"}
    assert declared.annotations == {
        "ambient-code.io/desired-phase": "Running",
        "ambient-code.io/runner-sa": "ambient-session-agentic-session-1760000000",
    }
    assert warnings(EXPORTED) == [
        "team-a/x.yaml:34:3: spec.project: has no effect here: it is the platform's own",
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
    assert [(one.id.name, one.origin.line) for one in content.declared] == [("a", 5), ("b", 9)]
    assert problems(text.replace("timeout: 2", "timout: 2")) == [
        "team-a/x.yaml:12:10: items[1].spec.timout: unknown field; did you mean `timeout`?"
    ]
    assert problems("apiVersion: v1\nkind: List\nitems: 1") == [
        "team-a/x.yaml:2:7: kind: unknown kind: must be AgenticSession"
    ]


@pytest.mark.parametrize("phase", ["Stopped", "Completed", "Failed"])
def test_an_exported_terminal_phase_means_stopped_unless_the_file_says_otherwise(phase):
    status = f"status: {{phase: {phase}}}\n"
    assert only(session("timeout: 1") + status).state is State.STOPPED
    assert only(session("state: Running") + status).state is State.RUNNING


@pytest.mark.parametrize("status", ["{phase: Running}", "{phase: [Stopped]}", "{}", "Stopped", ""])
def test_any_other_status_means_running(status):
    assert only(session("timeout: 1") + f"status: {status}\n").state is State.RUNNING


def test_the_platforms_annotation_means_stopped_unless_the_file_says_otherwise():
    metadata = "annotations: {ambient-code.io/desired-phase: Stopped}"
    assert only(session("timeout: 1", metadata=metadata)).state is State.STOPPED
    assert only(session("state: Running", metadata=metadata)).state is State.RUNNING


@pytest.mark.parametrize("name", ["a" * 56, "a.b", "A", "-a", "a-", "a_b", "''", "a/b"])
def test_a_name_that_would_break_an_object_is_refused(name):
    assert problems(session("timeout: 1", name=name)) == [
        f"team-a/x.yaml:4:9: metadata.name: {NAME}"
    ]


@pytest.mark.parametrize("name", ["a" * 55, "1a", "a-b", "'1'"])
def test_a_name_that_fits_everywhere_is_accepted(name):
    assert problems(session("timeout: 1", name=name)) == []


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("reconcile.ambient-code.io/session", RESERVED),
        ("app.kubernetes.io/managed-by", RESERVED),
        ("kubernetes.io/hostname", KUBERNETES),
        ("k8s.io/x", KUBERNETES),
        ("container.apparmor.security.beta.kubernetes.io/runner", KUBERNETES),
        ("x.k8s.io/y", KUBERNETES),
        ("'a b'", KEY),
        ("a/b/c", KEY),
        ("A.example.com/x", KEY),
        ("/x", KEY),
        ("''", KEY),
        ("-a", KEY),
        ("a" * 64, KEY),
    ],
)
@pytest.mark.parametrize("kind", ["labels", "annotations"])
def test_a_reserved_or_malformed_label_or_annotation_is_refused(kind, key, message):
    (found,) = problems(session("timeout: 1", metadata=f"{kind}:\n  {key}: x"))
    assert found.startswith(f"team-a/x.yaml:6:5: metadata.{kind}")
    assert found.endswith(message)


@pytest.mark.parametrize(
    "key",
    [
        "team",
        "example.com/team",
        "app.kubernetes.io/name",
        "cluster-autoscaler.kubernetes.io/safe-to-evict",
        "a" * 63,
        "notkubernetes.io/x",
    ],
)
def test_a_label_of_ones_own_is_accepted(key):
    assert only(session("timeout: 1", metadata=f"labels: {{{key}: x}}")).labels == {key: "x"}


def test_a_labels_value_has_fewer_characters_than_an_annotations():
    assert problems(session("timeout: 1", metadata="labels: {a: b c}")) == [
        "team-a/x.yaml:5:15: metadata.labels.a: must be letters, digits, `-`, `_` and `.`"
    ]
    assert problems(session("timeout: 1", metadata="annotations: {a: b c}")) == []


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
def test_a_document_that_is_no_session_is_refused(text, expected):
    assert problems(text) == [f"team-a/x.yaml{line}" for line in expected.split("|")]


def test_bytes_that_are_not_utf_8_are_refused():
    result = read_file("team-a/x.yaml", b"\xff")
    assert [str(one) for one in result.problems] == [
        "team-a/x.yaml:1:1: is not UTF-8: byte 0xff does not belong here"
    ]


def test_every_reason_of_a_file_is_given_at_once_in_the_order_of_its_lines():
    text = session("timeout: x\nzzz: 1", name="A") + "---\n" + session("state: x", name="b")
    assert [line.split(": ")[0] for line in problems(text)] == [
        "team-a/x.yaml:4:9",
        "team-a/x.yaml:6:12",
        "team-a/x.yaml:7:3",
        "team-a/x.yaml:14:10",
    ]
    assert read(text).content == Unusable(frozenset({SessionId("team-a", "b")}))


def test_a_document_with_problems_still_tells_whose_it_is():
    text = f"{HEAD}metadata: {{name: a}}\nspec: 1\n---\nkind: AgentSession\nmetadata: {{name: b}}"
    names = frozenset({SessionId("team-a", "a"), SessionId("team-a", "b")})
    assert read(text).content == Unusable(names)


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


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("policy.yaml", Role.POLICY),
        ("defaults.yaml", Role.DEFAULTS),
        ("a/project.yaml", Role.PROJECT),
        ("a/x.yaml", Role.SESSIONS),
        ("a/b/c.YML", Role.SESSIONS),
        ("a/policy.yaml", Role.SESSIONS),
        ("x.yaml", Role.MISPLACED),
        ("README.md", Role.IGNORED),
        (".x.yaml", Role.IGNORED),
        (".git/x.yaml", Role.IGNORED),
        ("a/.b/x.yaml", Role.IGNORED),
        ("a/notes.txt", Role.IGNORED),
    ],
)
def test_the_path_tells_what_a_file_is_for(path, role):
    result = read_file(path, b"")
    assert result.role is role
    assert isinstance(result.content, Ignored) is (role is Role.IGNORED)
    assert bool(result.problems) is (role is not Role.IGNORED)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "x.yaml",
            "x.yaml: is not read here: sessions belong in a folder named like their namespace",
        ),
        (
            "policy.yml",
            (
                "policy.yml: is not read here: "
                "sessions belong in a folder named like their namespace"
                "; did you mean `policy.yaml`?"
            ),
        ),
        (
            "Team_A/x.yaml",
            (
                "Team_A/x.yaml: the folder `Team_A` is no namespace: "
                "the name must be lower-case letters, digits and `-`"
            ),
        ),
        (
            "a" * 64 + "/x.yaml",
            (
                f"{'a' * 64}/x.yaml: the folder `{'a' * 57}...` is no namespace: "
                "the name is longer than 63 characters"
            ),
        ),
    ],
)
def test_a_file_in_the_wrong_place_is_refused(path, expected):
    assert problems(session("timeout: 1"), path) == [expected]


def test_what_could_not_be_read_is_refused_with_the_reason():
    for path in ("team-a/x.yaml", "team-a/sub", "README.md", "policy.yaml"):
        result = read_file(path, b"", "is a link that leaves the tree")
        assert [str(one) for one in result.problems] == [f"{path}: is a link that leaves the tree"]
        assert result.content == Unusable(frozenset())
    assert read_file(".x/y", b"", "is a link that leaves the tree").problems == ()


@pytest.mark.parametrize(
    ("path", "kind", "place"),
    [
        ("policy.yaml", "AgenticSession", "<namespace>/<any name>.yaml"),
        ("defaults.yaml", "Policy", "policy.yaml"),
        ("team-a/project.yaml", "SessionDefaults", "defaults.yaml"),
        ("team-a/sub/project.yaml", "ProjectSettings", "<namespace>/project.yaml"),
    ],
)
def test_a_kind_in_the_wrong_file_is_refused(path, kind, place):
    (found,) = problems(document(kind, "timeout: 1"), path)
    assert f"{kind} belongs in {place}" in found
    assert found.startswith(f"{path}:2:7: kind: must be ")


def test_a_settings_file_holds_one_document_only():
    text = document("SessionDefaults", "timeout: 1")
    assert problems(f"{text}---\n{text}", "defaults.yaml") == [
        "defaults.yaml:6:1: may hold one document only"
    ]


def test_settings_say_what_they_set():
    assert read(document("SessionDefaults", "timeout: 1"), "defaults.yaml").content == Settings(
        {"timeout": 1}
    )
    assert read(document("ProjectSettings", ""), "team-a/project.yaml").content == Settings({})


@pytest.mark.parametrize("field", ["displayName", "initialPrompt", "state", "userContext"])
def test_settings_cannot_set_what_belongs_to_one_session(field):
    (found,) = problems(document("SessionDefaults", f"{field}: x"), "defaults.yaml")
    assert f"spec.{field}: unknown field" in found


def test_the_platforms_project_settings_are_accepted_with_warnings():
    spec = "groupAccess: [{groupName: a, role: admin}]\nrunnerSecretsName: x\nrepositories: []"
    text = document("ProjectSettings", spec)
    assert problems(text, "team-a/project.yaml") == []
    assert warnings(text, "team-a/project.yaml") == [
        f"team-a/project.yaml:{line}:3: spec.{field}: has no effect here: it is the platform's own"
        for line, field in ((4, "groupAccess"), (5, "runnerSecretsName"), (6, "repositories"))
    ]


def test_capabilities_are_declared_with_the_installations_defaults():
    text = document("SessionDefaults", "capabilities: {sidecar: natve}")
    assert problems(text, "defaults.yaml") == [
        (
            "defaults.yaml:4:27: spec.capabilities.sidecar: must be native or plain; "
            "did you mean `native`?"
        )
    ]


def test_a_policy_says_everything_or_has_its_defaults():
    assert read(document("Policy", ""), "policy.yaml").content == PolicyFile(Policy())
    spec = (
        "installation: prod\nnamespaces: [a, b]\nallowEmpty: true\nonConflict: report\n"
        "budgets: {deletes: {percent: 10, atLeast: 3}, restarts: {percent: 0}}\n"
        "allowDeletes: [a/x]\nallowRestarts: [b/y]\nmask: ['*_DSN']"
    )
    assert read(document("Policy", spec), "policy.yaml").content == PolicyFile(
        Policy(
            installation="prod",
            namespaces=frozenset({"a", "b"}),
            deletes=Budget(10, 3),
            restarts=Budget(0, 1),
            allow_deletes=frozenset({"a/x"}),
            allow_restarts=frozenset({"b/y"}),
            allow_empty=True,
            on_conflict=OnConflict.REPORT,
            mask=("*_DSN",),
        )
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("installation: A", "4:17: spec.installation: must be lower-case letters, digits and `-`"),
        ("namespaces: [a, a]", "4:19: spec.namespaces[1]: is the same as spec.namespaces[0]"),
        ("allowDeletes: [x]", "4:18: spec.allowDeletes[0]: must be `<namespace>/<session>`"),
        (
            "budgets: {deletes: {percent: 101}}",
            "4:32: spec.budgets.deletes.percent: must be from 0 to 100",
        ),
        (
            "budgets: {deltes: {}}",
            "4:13: spec.budgets.deltes: unknown field; did you mean `deletes`?",
        ),
        ("mask: ['(']", "4:10: spec.mask[0]: must be a pattern such as `*_DSN`"),
        ("onConflict: ignore", "4:15: spec.onConflict: must be heal or report"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(spec, expected):
    assert problems(document("Policy", spec), "policy.yaml") == [f"policy.yaml:{expected}"]


def test_a_file_full_of_mistakes_is_told_about_in_part():
    found = problems(session("\n".join(f"x{n}: 1" for n in range(150))))
    assert len(found) == 101
    assert found[-1] == "team-a/x.yaml: and 50 more like these"
