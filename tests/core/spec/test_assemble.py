"""Assembling the files of a tree: settings are merged, and problems are reported."""

import pytest

from reconcile.core.model import Policy, SessionState, UpdateStrategy
from reconcile.core.spec.assemble import assemble_tree
from reconcile.core.spec.parse import parse_file
from tests.core.spec.documents import HEAD, document, session
from tests.core.spec.trees import GOOD, tree


def test_an_empty_tree_declares_nothing():
    found = assemble_tree([])
    assert (found.sessions, found.broken, found.unreadable) == ((), frozenset(), frozenset())
    assert (found.policy, found.namespaces, found.problems) == (Policy(), frozenset(), ())
    assert found.capabilities == {"sidecar": "plain", "userIds": "fixed"}


def test_the_built_in_settings_are_the_defaults():
    none = parse_file("defaults.yaml", document("SessionDefaults", "image: ours:1").encode())
    alone = parse_file("team-a/x.yaml", f"{HEAD}metadata: {{name: a}}".encode())
    (found,) = assemble_tree([none, alone]).sessions
    assert (found.state, found.strategy) == (SessionState.RUNNING, UpdateStrategy.WHEN_STOPPED)
    assert found.spec == {
        "displayName": None,
        "initialPrompt": None,
        "userContext": {"userId": None, "displayName": None, "groups": []},
        "state": "Running",
        "mcpServers": {"custom": {}, "disabled": []},
        "projectMcpServers": {"custom": {}, "disabled": []},
        "image": "ours:1",
        "interactive": True,
        "llmSettings": {
            "model": None,
            "temperature": 0.7,
            "maxTokens": 4000,
        },
        "timeout": 300,
        "inactivityTimeout": None,
        "stopOnRunFinished": False,
        "onPrepareFailure": "Fail",
        "onInterruptedRun": "Wait",
        "maxDuration": None,
        "repos": [],
        "activeWorkflow": {"gitUrl": None, "branch": None, "path": None},
        "environmentVariables": {},
        "credentials": [],
        "autoPushOnComplete": False,
        "runner": {
            "image": "quay.io/ambient_code/vteam_claude_runner:latest",
            "command": [],
            "args": [],
            "protocol": "ag-ui",
            "home": "/app",
            "stateDir": ".claude",
            "caConfigMapName": None,
            "preStop": [],
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
            "port": 8091,
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"cpu": "1", "memory": "512Mi"},
            },
            "intervalSeconds": 30,
            "staleSeconds": 90,
            "flushSeconds": 60,
            "bandwidth": None,
            "partial": "use",
            "maxFiles": 250_000,
            "exclude": [],
            "defaultExcludes": True,
            "singleWriter": False,
        },
        "network": {"allowFrom": []},
        "update": {"strategy": "WhenStopped"},
    }


def test_the_most_specific_setting_wins_and_mappings_are_merged():
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
    assert (b.state, b.strategy, b.spec["state"]) == (
        SessionState.STOPPED,
        UpdateStrategy.RECREATE,
        "Stopped",
    )


def test_items_of_lists_get_defaults_unless_passed_to_kubernetes():
    found = tree(
        team_a__x=session(
            "repos: [{url: 'https://h/x'}]\n"
            "network: {allowFrom: [{namespace: a}]}\n"
            "runner:\n  tolerations: [{key: a, value: null}]\n"
            "  envFrom: [{secretRef: {name: a}}]\n  args: [b]"
        )
    )
    spec = found.sessions[0].spec
    assert spec["repos"] == [{"url": "https://h/x", "name": "x", "branch": None, "autoPush": False}]
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


def test_the_order_of_the_files_does_not_matter():
    results = [
        parse_file(path, text.encode())
        for path, text in (
            ("team-a/project.yaml", document("ProjectSettings", "timeout: 2")),
            ("team-a/b.yaml", session("displayName: x", name="b")),
            ("team-a/a.yaml", session("displayName: x", name="a")),
            ("team-b/a.yaml", session("displayName: 1", name="a")),
            ("defaults.yaml", document("SessionDefaults", "timeout: 3")),
        )
    ]
    assert assemble_tree(results, ["team-a", "team-b"]) == assemble_tree(
        results[::-1], ["team-b", "team-a"]
    )


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
