"""Sessions with every field, and rendering of single templates."""

from reconcile.core.model import Origin, Policy, Session, SessionId, SessionState, UpdateStrategy
from reconcile.core.render.render import RenderContext, render_session
from reconcile.core.render.templates import compile_templates
from reconcile.core.spec.layers import default_values, merge_layer
from reconcile.core.spec.resolve import resolve_spec
from reconcile.core.spec.session_fields import SESSION_SPEC

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
    "runner": {
        "image": "example.com/runner:1",
        "command": ["/run"],
        "args": ["--fast", "$(LANG)"],
        "port": 9000,
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
    "mirror": {"image": "example.com/mirror:1", "flushSeconds": 40},
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


def rendered(files, one=None, policy=None):
    """The result of rendering a session with these template files."""
    context = RenderContext(policy or Policy())
    return render_session(one or session(), compile_templates(files), context)


def problems(files, one=None, policy=None):
    """The problems of rendering as text."""
    return [str(problem) for problem in rendered(files, one, policy).problems]


def config(data="{}", name="fix-x"):
    """The text of a template for a ConfigMap."""
    metadata = f"metadata:\n  name: {name}\n"
    return f"apiVersion: v1\nkind: ConfigMap\n{metadata}data: {data}\n"
