"""The files of a tree together: settings are merged, and what is in doubt is said."""

import pytest

from reconcile.core.errors import Problem
from reconcile.core.model import Policy, SessionId, State, Strategy
from reconcile.core.spec.assemble import assemble
from reconcile.core.spec.documents import read_file
from tests.core.spec.support import HEAD, document, session

GOOD = session("timeout: 1", name="good")


def tree(folders=(), **files):
    """Assemble files whose paths are the keyword's with `__` for `/`, all ending in `.yaml`."""
    results = [
        read_file(f"{name.replace('__', '/').replace('_', '-')}.yaml", text.encode())
        for name, text in files.items()
    ]
    return assemble(results, folders)


def names(found):
    return [str(one.id) for one in found.sessions]


def test_an_empty_tree_declares_nothing():
    found = tree()
    assert (found.sessions, found.broken, found.unreadable) == ((), frozenset(), frozenset())
    assert (found.policy, found.namespaces, found.problems) == (Policy(), frozenset(), ())
    assert found.capabilities == {"sidecar": "plain"}


def test_the_built_in_settings_hold_where_nothing_else_is_said():
    (found,) = tree(team_a__x=f"{HEAD}metadata: {{name: a}}").sessions
    assert (found.state, found.strategy) == (State.RUNNING, Strategy.WHEN_STOPPED)
    assert found.spec == {
        "displayName": None,
        "initialPrompt": None,
        "userContext": {"userId": None, "displayName": None, "groups": []},
        "state": "Running",
        "interactive": True,
        "llmSettings": {
            "model": "claude-3-7-sonnet-latest",
            "temperature": 0.7,
            "maxTokens": 4000,
        },
        "timeout": 300,
        "inactivityTimeout": None,
        "stopOnRunFinished": False,
        "maxDuration": None,
        "repos": [],
        "activeWorkflow": {"gitUrl": None, "branch": "main", "path": None},
        "environmentVariables": {},
        "autoPushOnComplete": False,
        "runner": {
            "image": "quay.io/ambient_code/vteam_claude_runner:latest",
            "command": [],
            "args": [],
            "port": 8001,
            "resources": {
                "requests": {"cpu": "500m", "memory": "512Mi"},
                "limits": {"cpu": "2", "memory": "8Gi"},
            },
            "envFrom": [],
            "imagePullSecrets": [],
            "nodeSelector": {},
            "tolerations": [],
            "priorityClassName": None,
            "terminationGracePeriodSeconds": 60,
            "serviceAccountToken": False,
        },
        "storage": {
            "mode": "none",
            "secretName": None,
            "sharedSecretName": None,
            "bucket": None,
            "endpoint": None,
            "region": None,
            "tokenAudience": None,
            "caConfigMapName": None,
            "size": "10Gi",
        },
        "mirror": {
            "image": None,
            "port": 8091,
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"cpu": "1", "memory": "512Mi"},
            },
            "intervalSeconds": 30,
            "staleSeconds": 90,
            "flushSeconds": 60,
            "partial": "use",
            "maxFiles": 250_000,
            "exclude": [],
            "defaultExcludes": True,
            "singleWriter": False,
        },
        "network": {"allowFrom": []},
        "update": {"strategy": "WhenStopped"},
    }


def test_the_nearest_setting_wins_and_mappings_are_merged():
    found = tree(
        defaults=document(
            "SessionDefaults",
            "timeout: 1\nmaxDuration: 8h\ninteractive: false\n"
            "environmentVariables: {A: defaults, B: defaults, C: defaults}\n"
            "runner: {resources: {limits: {cpu: 4, memory: 4Gi}}, command: [a, b]}",
        ),
        team_a__project=document(
            "ProjectSettings",
            "timeout: 2\nenvironmentVariables: {B: project, C: project}\n"
            "runner: {port: 80, command: [c]}",
        ),
        team_a__x=session(
            "environmentVariables: {C: session}\n"
            "runner: {resources: {limits: {memory: 1Gi}}}\ntimeout: null",
            name="a",
        ),
        team_b__x=session("update: {strategy: Recreate}\nstate: Stopped", name="b"),
    )
    a, b = found.sessions
    assert a.spec["environmentVariables"] == {"A": "defaults", "B": "project", "C": "session"}
    assert a.spec["runner"]["resources"]["limits"] == {"cpu": "4", "memory": "1Gi"}
    assert (a.spec["runner"]["command"], a.spec["runner"]["port"]) == (["c"], 80)
    assert (a.spec["timeout"], a.spec["maxDuration"], a.spec["interactive"]) == (2, 28800, False)
    assert b.spec["environmentVariables"] == dict.fromkeys("ABC", "defaults")
    assert (b.spec["timeout"], b.spec["runner"]["command"]) == (1, ["a", "b"])
    assert (b.state, b.strategy, b.spec["state"]) == (State.STOPPED, Strategy.RECREATE, "Stopped")


def test_items_of_lists_are_completed_too_except_what_kubernetes_takes_as_it_is():
    found = tree(
        team_a__x=session(
            "repos: [{url: 'https://h/x'}]\n"
            "network: {allowFrom: [{namespace: a}]}\n"
            "runner:\n  tolerations: [{key: a, value: null}]\n"
            "  envFrom: [{secretRef: {name: a}}]\n  args: [b]"
        )
    )
    spec = found.sessions[0].spec
    assert spec["repos"] == [{"url": "https://h/x", "branch": "main", "autoPush": False}]
    assert spec["network"]["allowFrom"] == [
        {"namespace": "a", "namespaceLabels": {}, "podLabels": {}, "port": None}
    ]
    assert spec["runner"]["tolerations"] == [{"key": "a"}]
    assert spec["runner"]["envFrom"] == [{"secretRef": {"name": "a"}}]
    assert spec["runner"]["args"] == ["b"]


def test_the_platforms_own_fields_are_not_shown_to_templates():
    found = tree(
        team_a__project=document("ProjectSettings", "groupAccess: []"),
        team_a__x=session("mainRepoName: x"),
    )
    assert not {"mainRepoName", "groupAccess"} & found.sessions[0].spec.keys()
    assert [warning.field for warning in found.warnings] == [
        "spec.groupAccess",
        "spec.mainRepoName",
    ]


def test_the_order_of_the_files_is_of_no_account():
    results = [
        read_file(path, text.encode())
        for path, text in (
            ("team-a/project.yaml", document("ProjectSettings", "timeout: 2")),
            ("team-a/b.yaml", session("displayName: x", name="b")),
            ("team-a/a.yaml", session("displayName: x", name="a")),
            ("team-b/a.yaml", session("displayName: 1", name="a")),
            ("defaults.yaml", document("SessionDefaults", "timeout: 3")),
        )
    ]
    assert assemble(results, ["team-a", "team-b"]) == assemble(results[::-1], ["team-b", "team-a"])


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({}, True),
        ({"README": "x"}, True),
        ({"team_a__y": session("", name="other")}, True),
        ({"team_a__x": "# a comment\n" + GOOD}, True),
        ({"team_a__x": session("timeout: 2", name="good")}, False),
        ({"team_a__x": session("timeout: 1\nstate: Stopped", name="good")}, False),
        ({"team_a__x": session("timeout: 1", name="good", metadata="labels: {a: b}")}, False),
        ({"team_a__x": session("timeout: 1", name="good", metadata="annotations: {a: b}")}, False),
        ({"defaults": document("SessionDefaults", "maxDuration: 5")}, False),
        ({"defaults": document("SessionDefaults", "timeout: 5")}, True),
        ({"defaults": document("SessionDefaults", "capabilities: {sidecar: native}")}, False),
        ({"team_a__project": document("ProjectSettings", "maxDuration: 5")}, False),
        ({"team_b__project": document("ProjectSettings", "maxDuration: 5")}, True),
    ],
)
def test_the_digest_changes_with_what_a_template_can_see_and_with_nothing_else(change, is_same):
    def digest(files):
        return next(one.digest for one in tree(**files).sessions if one.id.name == "good")

    assert (digest({"team_a__x": GOOD}) == digest({"team_a__x": GOOD, **change})) is is_same


def test_the_same_session_in_two_files_is_used_from_neither():
    found = tree(
        team_a__x=GOOD, team_a__sub__y=GOOD, team_a__z=session("", name="z"), team_b__x=GOOD
    )
    assert names(found) == ["team-a/z", "team-b/good"]
    assert found.broken == {SessionId("team-a", "good")}
    assert found.unreadable == {"team-a"}
    assert [str(problem) for problem in found.problems] == [
        (
            "team-a/sub/y.yaml:1:1: metadata.name: session team-a/good is declared twice: "
            "team-a/x.yaml:1:1"
        ),
        (
            "team-a/x.yaml:1:1: metadata.name: session team-a/good is declared twice: "
            "team-a/sub/y.yaml:1:1"
        ),
    ]


def test_the_same_session_twice_in_one_file_is_refused():
    found = tree(team_a__x=f"{GOOD}---\n{GOOD}")
    assert names(found) == []
    assert [problem.line for problem in found.problems] == [1, 8]


def test_a_file_with_problems_stops_pruning_in_its_namespace_alone():
    found = tree(team_a__x=session("zzz: 1", name="bad"), team_a__y=GOOD, team_b__x=GOOD)
    assert names(found) == ["team-a/good", "team-b/good"]
    assert found.broken == {SessionId("team-a", "bad")}
    assert found.unreadable == {"team-a"}


def test_a_session_that_is_broken_in_one_file_is_not_taken_from_another():
    found = tree(team_a__x=session("zzz: 1", name="good"), team_a__y=GOOD)
    assert names(found) == []
    assert found.broken == {SessionId("team-a", "good")}


def test_a_file_that_is_not_understood_leaves_its_sessions_unnamed():
    found = tree(team_a__x="a: [", team_a__y=GOOD)
    assert names(found) == ["team-a/good"]
    assert (found.broken, found.unreadable) == (frozenset(), {"team-a"})


@pytest.mark.parametrize("broken", ["policy", "defaults"])
def test_without_the_installations_settings_no_session_is_used_and_nothing_is_pruned(broken):
    found = tree(**{broken: "a: ["}, team_a__x=GOOD, team_b__x=GOOD)
    assert names(found) == []
    assert found.broken == {SessionId("team-a", "good"), SessionId("team-b", "good")}
    assert found.unreadable == {""}


def test_without_its_projects_settings_no_session_of_a_namespace_is_used():
    found = tree(team_a__project="a: [", team_a__x=GOOD, team_b__x=GOOD)
    assert names(found) == ["team-b/good"]
    assert found.broken == {SessionId("team-a", "good")}
    assert found.unreadable == {"team-a"}


@pytest.mark.parametrize("path", ["x.yaml", "Team_A/x.yaml", "linked"])
def test_a_file_of_no_namespace_stops_pruning_everywhere(path):
    bad = read_file(path, GOOD.encode(), "is a link that leaves the tree")
    found = assemble([bad, read_file("team-a/x.yaml", GOOD.encode())])
    assert names(found) == ["team-a/good"]
    assert found.unreadable == {""}


def test_a_link_that_leaves_the_tree_stops_pruning_in_its_namespace():
    bad = read_file("team-a/sub", b"", "is a link that leaves the tree")
    found = assemble([bad])
    assert found.unreadable == {"team-a"}
    assert found.problems == (Problem("team-a/sub", 0, 0, "", "is a link that leaves the tree"),)


def test_the_namespaces_are_the_folders_unless_the_policy_lists_them():
    folders = ["team-a", "team-b", ".git", "Docs"]
    assert tree(folders).namespaces == {"team-a", "team-b"}
    policy = document("Policy", "namespaces: [team-a, team-c]")
    assert tree(folders, policy=policy).namespaces == {"team-a", "team-c"}


def test_a_folder_that_the_policy_does_not_list_is_refused():
    found = tree(
        ["team-a", "team-b", "docs"],
        policy=document("Policy", "namespaces: [team-a]"),
        team_a__x=GOOD,
        team_b__x=GOOD,
        team_b__y=session("", name="y"),
        team_c__x="",
    )
    assert names(found) == ["team-a/good"]
    assert found.broken == {SessionId("team-b", "good"), SessionId("team-b", "y")}
    assert found.unreadable == {"team-b", "team-c"}
    assert [str(problem) for problem in found.problems if not problem.path.endswith(".yaml")] == [
        "team-b/: this namespace is not in `spec.namespaces` of policy.yaml: add it there",
        "team-c/: this namespace is not in `spec.namespaces` of policy.yaml: add it there",
    ]


def test_a_request_above_the_limit_that_holds_is_refused():
    found = tree(
        defaults=document("SessionDefaults", "runner: {resources: {limits: {cpu: 1}}}"),
        team_a__x=session("runner: {resources: {requests: {cpu: 1500m, gpu: 1}}}"),
        team_a__y=session("runner: {resources: {requests: {cpu: 1000m}}}", name="y"),
    )
    assert names(found) == ["team-a/y"]
    assert found.broken == {SessionId("team-a", "fix-login")}
    assert found.unreadable == {"team-a"}
    assert [str(problem) for problem in found.problems] == [
        (
            "team-a/x.yaml:1:1: spec.runner.resources.requests.cpu: "
            "is more than the limit that holds here"
        )
    ]


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        (
            "storage: {mode: shared}\nmirror: {image: m}",
            "storage.sharedSecretName",
            "is missing: `mode: shared` needs the installation's Secret by name, in defaults.yaml",
        ),
        (
            "storage: {mode: custom, sharedSecretName: ours}\nmirror: {image: m}",
            "storage.secretName",
            "is missing: `mode: custom` needs a Secret of one's own; the shared one is not used",
        ),
        (
            "storage: {mode: custom, secretName: a, sharedSecretName: a}\nmirror: {image: m}",
            "storage.secretName",
            "is the installation's Secret: write `mode: shared`",
        ),
        (
            "storage: {mode: shared, sharedSecretName: ours}",
            "mirror.image",
            "is missing: a workspace that is kept needs the image with `reconcile-mirror`",
        ),
        (
            "storage: {mode: shared, sharedSecretName: ours}\nmirror: {image: m, port: 8001}",
            "mirror.port",
            "is the runner's port, too: choose another one",
        ),
        (
            (
                "storage: {mode: shared, sharedSecretName: ours}\n"
                "mirror: {image: m, resources: {requests: {memory: 1Gi}}}"
            ),
            "mirror.resources.requests.memory",
            "is more than the limit that holds here",
        ),
    ],
)
def test_storage_that_cannot_be_used_as_it_is_said_is_refused(spec, field, message):
    found = tree(team_a__x=session(spec), team_a__y=session("timeout: 1", name="y"))
    assert names(found) == ["team-a/y"]
    assert [str(problem) for problem in found.problems] == [
        f"team-a/x.yaml:1:1: spec.{field}: {message}"
    ]


def test_storage_of_one_session_may_be_told_by_installation_and_project():
    found = tree(
        defaults=document(
            "SessionDefaults",
            "storage: {mode: shared, sharedSecretName: ours}\nmirror: {image: 'm:1'}",
        ),
        team_b__project=document("ProjectSettings", "storage: {mode: custom, secretName: mine}"),
        team_a__x=session("timeout: 1", name="a"),
        team_b__x=session("timeout: 1", name="b"),
    )
    assert found.problems == ()
    assert [one.spec["storage"]["mode"] for one in found.sessions] == ["shared", "custom"]


def test_what_a_mirror_would_need_is_of_no_account_without_one():
    found = tree(team_a__x=session("mirror: {port: 8001, resources: {requests: {cpu: 9}}}"))
    assert found.problems == ()
    assert names(found) == ["team-a/fix-login"]


@pytest.mark.parametrize("mode", ["none", "shared"])
def test_settings_of_custom_storage_are_warned_about_in_other_modes(mode):
    spec = (
        f"storage: {{mode: {mode}, sharedSecretName: ours, secretName: x, bucket: abc}}\n"
        "mirror: {image: m}"
    )
    assert [str(warning) for warning in tree(team_a__x=session(spec)).warnings] == [
        f"team-a/x.yaml:1:1: spec.storage.bucket: has no effect with `mode: {mode}`",
        f"team-a/x.yaml:1:1: spec.storage.secretName: has no effect with `mode: {mode}`",
    ]


@pytest.mark.parametrize(
    ("files", "memory", "warned"),
    [(250_000, "512Mi", False), (250_000, "256Mi", True), (1_000_000, "1Gi", True)],
)
def test_a_mirror_with_less_memory_than_its_files_need_is_warned_about(files, memory, warned):
    spec = (
        "storage: {mode: shared, sharedSecretName: ours}\n"
        f"mirror: {{image: m, maxFiles: {files}, resources: {{limits: {{memory: {memory}}}}}}}"
    )
    text = f"is {files}: a workspace of so many may need {128 + -(-files * 3 // 2048)}Mi of memory"
    line = f"team-a/x.yaml:1:1: spec.mirror.maxFiles: {text}, and the limit is {memory}"
    found = [str(warning) for warning in tree(team_a__x=session(spec)).warnings]
    assert found == [line] * warned


def test_repositories_that_share_a_folder_are_warned_about():
    found = tree(
        team_a__x=session(
            "repos:\n- url: https://h/a/x\n- url: https://h/y\n- url: git@h:b/x.git\n- url: git@h:x"
        )
    )
    assert [str(warning) for warning in found.warnings] == [
        "team-a/x.yaml:1:1: spec.repos[2].url: is cloned into the same folder as spec.repos[0]",
        "team-a/x.yaml:1:1: spec.repos[3].url: is cloned into the same folder as spec.repos[0]",
    ]
    assert found.problems == ()
