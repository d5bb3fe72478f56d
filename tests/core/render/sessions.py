"""Sessions with every field, and rendering of single templates."""

from reconcile.core.model import (
    DesiredSession,
    Origin,
    Policy,
    Session,
    SessionId,
    SessionState,
    UpdateStrategy,
)
from reconcile.core.render.render import RenderContext, render_session
from reconcile.core.render.templates import compile_templates
from reconcile.core.spec.kinds import CAPABILITIES
from reconcile.core.spec.layers import default_values, merge_layer, resolve_spec
from reconcile.core.spec.session_fields import SESSION_SPEC
from tests.session_files import SHIPPED

SHIPPED_TEMPLATES = compile_templates(SHIPPED)

EVERY_FIELD = {
    "displayName": "Fix the login",
    "initialPrompt": "Find out why\nnobody can log in",
    "interactive": False,
    "llmSettings": {"model": "m-1", "temperature": 0.25, "maxTokens": 100},
    "timeout": 60,
    "inactivityTimeout": 30,
    "stopOnRunFinished": True,
    "maxDuration": 3600,
    "repos": [
        {"url": "https://git.example/a", "branch": "b", "autoPush": True},
        {"url": "https://git.example/c"},
    ],
    "activeWorkflow": {"gitUrl": "https://git.example/w", "branch": "main", "path": "flows/a"},
    "environmentVariables": {"LANG": "C", "LLM_MODEL": "m-2", "EMPTY": ""},
    "userContext": {"userId": "u-1", "displayName": "Ada", "groups": ["devs"]},
    "autoPushOnComplete": True,
    "onPrepareFailure": "Continue",
    "onInterruptedRun": "Continue",
    "credentials": [
        {"provider": "github", "secretName": "git-keys", "keys": {"token": "GITHUB"}},
        {"provider": "mcp/search", "secretName": "search", "keys": {"api_key": "key"}},
    ],
    "mcpServers": {"custom": {"search": {"command": "search"}}, "disabled": ["webfetch"]},
    "projectMcpServers": {"custom": {"wiki": {"url": "https://wiki.example/$(X)"}}},
    "runner": {
        "image": "example.com/runner:1",
        "command": ["/run"],
        "args": ["--fast", "$(LANG)"],
        "port": 9000,
        "home": "/home/agent",
        "stateDir": ".agent",
        "caConfigMapName": "authorities",
        "preStop": ["/bin/stop", "now"],
        "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
        "envFrom": [{"secretRef": {"name": "keys"}}],
        "imagePullSecrets": ["registry"],
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "priorityClassName": "high",
        "terminationGracePeriodSeconds": 30,
        "serviceAccountToken": True,
    },
    "storage": {"mode": "custom", "secretName": "s3", "size": "1Gi"},
    "mirror": {"flushSeconds": 40},
    "network": {
        "allowFrom": [
            {"namespace": "ui", "podLabels": {"app": "ui"}},
            {"namespaceLabels": {"team": "a"}, "port": 8080},
            {"podLabels": {"app": "peer"}},
        ]
    },
    "update": {"strategy": "Recreate"},
}


OWN_IMAGE = "example.com/reconcile:1"
"""The image of our own containers, which an installation must name."""

BUILT_IN = merge_layer(SESSION_SPEC, default_values(SESSION_SPEC), {"image": OWN_IMAGE})


def session(spec=None, *, name="fix", state=SessionState.RUNNING, labels=None, annotations=None):
    return Session(
        SessionId("team-a", name),
        Origin(f"team-a/{name}.yaml", 1, 1),
        state,
        UpdateStrategy.RECREATE,
        labels or {},
        annotations or {},
        resolve_spec(merge_layer(SESSION_SPEC, BUILT_IN, spec or {})),
        "sha256:0",
    )


def context(policy=None, **capabilities):
    """The context of an installation that declares these capabilities."""
    return RenderContext(policy or Policy(), {**default_values(CAPABILITIES), **capabilities})


def shipped_bodies(one, policy=None, **capabilities):
    """The objects of the shipped templates, by the template's name."""
    result = render_session(one, SHIPPED_TEMPLATES, context(policy, **capabilities))
    assert isinstance(result, DesiredSession), result.problems
    return {manifest.source.split(".")[0]: manifest.body for manifest in result.manifests}


def rendered(files, one=None, policy=None):
    """The result of rendering a session with these template files."""
    return render_session(one or session(), compile_templates(files), context(policy))


def problems(files, one=None, policy=None):
    """The problems of rendering as text."""
    return [str(problem) for problem in rendered(files, one, policy).problems]


def config(data="{}", name="fix-x"):
    """The text of a template for a ConfigMap."""
    metadata = f"metadata:\n  name: {name}\n"
    return f"apiVersion: v1\nkind: ConfigMap\n{metadata}data: {data}\n"
