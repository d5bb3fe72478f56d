"""What the platform exports is accepted as it is, and has the effect that it has there."""

import json

import pytest

from reconcile.core.model import SessionId, SessionState
from tests.core.spec.documents import document, problems, read, session, warnings
from tests.core.spec.trees import names, tree

# The fields are those of the platform's resource definitions in August 2026.
SESSION = """\
apiVersion: vteam.ambient-code/v1alpha1
kind: AgenticSession
metadata:
  name: session-1760000000
  namespace: team-a
  uid: 0b0f3a64-0000-4000-8000-000000000000
  resourceVersion: "4711"
  labels:
    ambient-code.io/scheduled-session-name: nightly
    ambient-code.io/scheduled-run: "true"
    ambient-code.io/reuse-last-session: "false"
  annotations:
    ambient-code.io/desired-phase: Running
    ambient-code.io/start-requested-at: "2026-08-01T10:00:00Z"
    ambient-code.io/stop-requested-at: "2026-08-01T11:00:00Z"
    ambient-code.io/stop-reason: run-finished
    ambient-code.io/force-execute-prompt: "true"
    ambient-code.io/runner-token-secret: ambient-runner-token-x
    ambient-code.io/runner-sa: ambient-session-x
    ambient-code.io/token-refreshed-at: "2026-08-01T10:00:00Z"
    ambient-code.io/created-by: system:serviceaccount:team-a:ci
    ambient-code.io/created-by-user-id: ci
    ambient-code.io/display-name: Nightly run
    vteam.ambient-code/parent-session-id: session-1750000000
    vteam.ambient-code/copied-from: team-a/session-1740000000
    example.com/note: kept
spec:
  repos:
  - {url: 'https://github.com/example/shop.git', branch: main, autoPush: false, name: shop}
  initialPrompt: Find out why
  displayName: Fix the login
  userContext: {userId: u-1, displayName: Ada, groups: [devs]}
  llmSettings: {model: claude-sonnet-4-6, temperature: 0.7, maxTokens: 4000}
  timeout: 300
  inactivityTimeout: 0
  stopOnRunFinished: true
  environmentVariables: {RUNNER_TYPE: claude-agent-sdk}
  mcpServers:
    custom:
      search: {type: http, url: 'https://mcp.example', headers: {A: b}, retries: 3}
      local: {command: npx, args: [-y, local], env: {DEEP: null}}
    disabled: [webfetch]
  activeWorkflow: {gitUrl: 'https://github.com/example/flows.git', branch: main, path: fix}
status:
  observedGeneration: 3
  phase: Running
  startTime: "2026-08-01T10:00:00Z"
  completionTime: null
  reconciledRepos:
  - url: https://github.com/example/shop.git
    name: shop
    branch: main
    branches: [main, fix]
    currentActiveBranch: fix
    defaultBranch: main
    status: Ready
    clonedAt: "2026-08-01T10:00:00Z"
  reconciledWorkflow: {gitUrl: 'https://h/x', branch: main, path: fix, status: Active}
  lastActivityTime: "2026-08-01T10:00:00Z"
  stoppedReason: inactivity
  sdkSessionId: x
  sdkRestartCount: 1
  conditions: [{type: Ready, status: "True"}]
"""
PROJECT = """\
apiVersion: vteam.ambient-code/v1alpha1
kind: ProjectSettings
metadata: {name: projectsettings, namespace: team-a}
spec:
  groupAccess: [{groupName: devs, role: edit}]
  runnerSecretsName: ambient-runner-secrets
  repositories: [{url: 'https://github.com/example/shop.git', branch: main, provider: github}]
  inactivityTimeoutSeconds: 86400
  mcpServers:
    custom: {wiki: {type: sse, url: 'https://wiki.example'}}
    disabled: [jira]
status: {groupBindingsCreated: 1, scheduledSessionRBACReady: true, limitRangeReady: true}
"""
RULES = document("Policy", "allow: {annotations: [example.com/*], secrets: [ambient-*]}")


def test_an_export_with_every_field_is_valid():
    assert problems(SESSION) == problems(PROJECT, "team-a/project.yaml") == []
    found = tree(policy=RULES, team_a__x=SESSION, team_a__project=PROJECT)
    assert not found.problems
    (one,) = found.sessions
    assert one.state is SessionState.RUNNING
    assert one.annotations == {"example.com/note": "kept"}
    assert sorted(f"{each.path}: {each.field}" for each in found.warnings) == [
        "team-a/project.yaml: spec.groupAccess",
        "team-a/project.yaml: spec.repositories",
        "team-a/x.yaml: spec.llmSettings.maxTokens",
        "team-a/x.yaml: spec.llmSettings.temperature",
        "team-a/x.yaml: spec.timeout",
        "team-a/x.yaml: spec.userContext.groups",
    ]


def test_the_mcp_servers_of_project_and_session_stay_apart():
    (one,) = tree(team_a__x=SESSION, team_a__project=PROJECT).sessions
    assert one.spec["mcpServers"]["disabled"] == ["webfetch"]
    assert one.spec["mcpServers"]["custom"]["search"]["retries"] == 3
    assert one.spec["projectMcpServers"] == {
        "custom": {"wiki": {"type": "sse", "url": "https://wiki.example"}},
        "disabled": ["jira"],
    }
    assert "projectMcpServers: unknown field" in problems(session("projectMcpServers: {}"))[0]
    for text, path in (
        (document("ProjectSettings", "projectMcpServers: {}"), "team-a/project.yaml"),
        (document("SessionDefaults", "mcpServers: {}"), "defaults.yaml"),
    ):
        assert "unknown field" in problems(text, path)[0]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{custom: []}", "spec.mcpServers.custom: must be a mapping, not a list"),
        ("{custom: {a: b}}", "spec.mcpServers.custom.a: must be a mapping, not text"),
        ("{disabled: [a, a]}", "disabled[1]: is the same as spec.mcpServers.disabled[0]"),
        ("{servers: {}}", "spec.mcpServers.servers: unknown field; known are custom, disabled"),
    ],
)
def test_mcp_servers_of_another_form_are_refused(spec, message):
    (found,) = problems(session(f"mcpServers: {spec}"))
    assert message in found


@pytest.mark.parametrize("kind", ["AgenticSession", "ProjectSettings"])
def test_mcp_servers_that_do_not_fit_into_a_variable_are_refused(kind):
    path = "team-a/x.yaml" if kind == "AgenticSession" else "team-a/project.yaml"
    for length, is_long in ((29_900, False), (30_000, True)):
        spec = f"mcpServers: {json.dumps({'custom': {'a': {'b': 'ü' * length}}}, indent=None)}"
        text = session(spec) if kind == "AgenticSession" else document(kind, spec)
        found = [each.partition(": ")[2] for each in problems(text, path)]
        message = f"spec.mcpServers: has {length + 25} characters as JSON: must be under 30000"
        assert found == [message] * is_long


def envs(found):
    return {
        one.id.name: [source["secretRef"]["name"] for source in one.spec["runner"]["envFrom"]]
        for one in found.sessions
    }


def test_the_runners_secret_of_a_project_is_added_to_each_of_its_sessions():
    found = tree(
        defaults=document("SessionDefaults", "runner: {envFrom: [{secretRef: {name: all}}]}"),
        team_a__project=PROJECT,
        team_a__x=session("", name="plain"),
        team_a__y=session("runner: {envFrom: [{secretRef: {name: own}}]}", name="own"),
        team_a__z=session(
            "runner: {envFrom: [{secretRef: {name: ambient-runner-secrets}}]}", name="same"
        ),
        team_b__x=session("", name="other"),
    )
    assert envs(found) == {
        "plain": ["all", "ambient-runner-secrets"],
        "own": ["own", "ambient-runner-secrets"],
        "same": ["ambient-runner-secrets"],
        "other": ["all"],
    }


def test_the_runners_secret_of_a_project_is_bounded_by_the_policy_and_no_wish():
    rules = document("Policy", "allow: {secrets: []}")
    refused = tree(policy=rules, team_a__project=PROJECT, team_a__x=session(""))
    assert refused.broken == {SessionId("team-a", "fix-login")}
    assert [f"{each.path}:{each.line}: {each.field}" for each in refused.problems] == [
        "team-a/project.yaml:6: spec.runner.envFrom[0].secretRef.name"
    ]
    free = tree(
        policy=document("Policy", ""), team_a__project=PROJECT, team_a__x=session("maxDuration: 1")
    )
    assert not [each for each in free.warnings if each.path == "team-a/x.yaml"]


@pytest.mark.parametrize(
    ("project", "spec", "seconds"),
    [
        ("inactivityTimeoutSeconds: 60", "", 60),
        ("inactivityTimeoutSeconds: 60\ninactivityTimeout: 30", "", 30),
        ("inactivityTimeout: 30\ninactivityTimeoutSeconds: 60", "", 30),
        ("inactivityTimeoutSeconds: 60", "inactivityTimeout: 0", 0),
        ("", "", 7),
    ],
)
def test_the_nearest_inactivity_timeout_applies(project, spec, seconds):
    found = tree(
        defaults=document("SessionDefaults", "inactivityTimeout: 7"),
        team_a__project=document("ProjectSettings", project),
        team_a__x=session(spec),
    )
    (one,) = found.sessions
    assert one.spec["inactivityTimeout"] == seconds


def test_a_stopped_export_stays_stopped_and_keeps_its_own_annotations():
    text = SESSION.replace("desired-phase: Running", "desired-phase: Stopped")
    found = tree(team_a__x=text)
    assert names(found) == ["team-a/session-1760000000"]
    assert found.sessions[0].state is SessionState.STOPPED


def test_the_old_form_of_a_repository_may_have_a_name():
    text = session("repos: [{name: shop, input: {url: 'https://h/x', branch: null}, output: {}}]")
    assert warnings(text) == [
        "team-a/x.yaml:6:67: spec.repos[0].output: has no effect here: only the platform uses it"
    ]
    (declared,) = read(text).content.declarations
    assert declared.layer["repos"] == [{"url": "https://h/x", "name": "shop"}]
