"""Documents that use every field, and a list of the fields that they leave out."""

from collections.abc import Iterator, Mapping
from typing import Any, assert_never

from reconcile.core.model import KubeObject
from reconcile.core.spec.field_types import (
    AnyType,
    FieldType,
    ListType,
    MapType,
    ObjectType,
    Scalar,
)
from reconcile.core.spec.kinds import DEFAULTS_KIND, KINDS, POLICY_KIND, PROJECT_KIND, SESSION_KIND
from tests.e2e.site import API

PRIORITY = "e2e-fullest"
"""A priority class, which must exist before a pod can name it."""

_RUNNER: Mapping[str, Any] = {
    "protocol": "ag-ui",
    "home": "/home/agent",
    "stateDir": ".agent",
    "caConfigMapName": "runner-authorities",
    "preStop": ["/bin/stop", "--now", ""],
    "image": "registry.example/team/runner:2@sha256:" + "0" * 64,
    "command": ["/usr/bin/runner", "--flag"],
    "args": ["serve", "--port=9001", "# no comment", ""],
    "port": 9001,
    "resources": {
        "requests": {"cpu": "0.25", "memory": "256Mi", "ephemeral-storage": "1024Ki"},
        "limits": {"cpu": "1500m", "memory": "1.5Gi", "ephemeral-storage": "2Gi"},
    },
    "envFrom": [
        {"secretRef": {"name": "keys", "optional": True}, "prefix": "KEYS_"},
        {"configMapRef": {"name": "settings", "optional": False}},
    ],
    "imagePullSecrets": ["registry", "mirror"],
    "nodeSelector": {"node.example/pool": "agents", "disk": "ssd"},
    "tolerations": [
        {"key": "agents", "operator": "Equal", "value": "only", "effect": "NoSchedule"},
        {"key": "spot", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0},
        {"operator": "Exists", "effect": "PreferNoSchedule"},
    ],
    "priorityClassName": PRIORITY,
    "terminationGracePeriodSeconds": 120,
    "serviceAccountToken": True,
}

MCP_SERVERS: Mapping[str, Any] = {
    "custom": {
        "search": {"command": "search", "args": ["$(A)"], "env": {"A": ""}},
        "wiki": {"type": "http", "url": "https://wiki.example", "headers": {"X-Team": "a"}},
    },
    "disabled": ["webfetch"],
}

SHARED: Mapping[str, Any] = {
    "interactive": False,
    "llmSettings": {"model": "claude-sonnet-4-5", "temperature": 0, "maxTokens": 8000},
    "timeout": 1800,
    "inactivityTimeout": 600,
    "stopOnRunFinished": True,
    "onPrepareFailure": "Continue",
    "onInterruptedRun": "Continue",
    "maxDuration": "90m",
    "repos": [
        {
            "url": "https://git.example/shop.git",
            "name": "store",
            "branch": "main",
            "autoPush": True,
        },
        {"url": "ssh://git@git.example/tools.git"},
    ],
    "activeWorkflow": {
        "gitUrl": "https://git.example/flows.git",
        "branch": "stable",
        "path": "triage/daily",
    },
    "environmentVariables": {
        "EMPTY": "",
        "QUOTED": 'a "b" $(C) $$',
        "LINES": "a\n b\n\n",
        "a.b-c": "1",
    }
    | {"NUMBER": "007"},
    "credentials": [
        {
            "provider": "github",
            "secretName": "git-keys",
            "keys": {"token": "TOKEN"},
            "host": "git.example",
        },
        {"provider": "mcp/search", "secretName": "search", "keys": {"api_key": "key"}},
        {"provider": "jira", "secretName": "jira"},
    ],
    "autoPushOnComplete": True,
    "runner": _RUNNER,
    "storage": {
        "mode": "custom",
        "secretName": "s3-keys",
        "bucket": "my-bucket",
        "endpoint": "https://s3.example",
        "region": "eu-central-1",
        "tokenAudience": "sts.example",
        "caConfigMapName": "authorities",
        "size": "0.5Gi",
    },
    "mirror": {
        "bandwidth": "20MiB",
        "port": 9100,
        "resources": {
            "requests": {"cpu": "0.1", "memory": "131072Ki"},
            "limits": {"cpu": "1000m", "memory": "0.25Gi"},
        },
        "intervalSeconds": 10,
        "staleSeconds": 60,
        "flushSeconds": 90,
        "partial": "refuse",
        "exclude": ["*.o", "/big file/", "# no comment"],
        "defaultExcludes": False,
        "singleWriter": True,
        "maxFiles": 50_000,
    },
    "network": {
        "allowFrom": [
            {"namespace": "gateway", "podLabels": {"app": "gateway"}, "port": 9002},
            {"namespaceLabels": {"team": "a", "env": "test"}},
            {"podLabels": {"app": "sibling"}},
        ]
    },
    "update": {"strategy": "Recreate"},
}
"""The fields that installation, project and session can all set."""

_RESERVED: Mapping[str, Any] = {
    "storage": {"sharedSecretName": "s3-shared"},
}
DEFAULTS: Mapping[str, Any] = {
    **SHARED,
    "image": "registry.example/team/reconcile:1",
    **{name: {**SHARED[name], **fields} for name, fields in _RESERVED.items()},
    "capabilities": {"sidecar": "plain", "userIds": "fixed"},
}
"""The fields that only the installation can set, too."""

SPEC: Mapping[str, Any] = {
    "displayName": "Everything: ✓ 'quoted' \"twice\" {{ braces }}",
    "initialPrompt": "First line\n\n  indented: {{ x }} {% y %} #z\n\ttab ✓\n",
    "userContext": {"userId": "u-1", "displayName": "Ada L.", "groups": ["devs", "ops"]},
    "state": "Running",
    "mcpServers": MCP_SERVERS,
    **SHARED,
}
"""The fields of a session."""

_METADATA: Mapping[str, Any] = {
    "labels": {"topic": "all", "example.com/topic": ""},
    "annotations": {"example.com/note": "several\nlines: ✓", "empty": ""},
}
_SERVER_SET: Mapping[str, Any] = {
    "uid": "1f3b",
    "resourceVersion": "12",
    "generation": 3,
    "generateName": "all-",
    "creationTimestamp": "2026-01-31T12:00:00Z",
    "deletionTimestamp": None,
    "deletionGracePeriodSeconds": 30,
    "managedFields": [{"manager": "kubectl"}],
    "selfLink": "/apis",
    "ownerReferences": [{"name": "x"}],
    "finalizers": ["example.com/f"],
}
_PATTERNS = (
    "images",
    "secrets",
    "configMaps",
    "priorityClasses",
    "nodeSelectors",
    "tolerations",
    "labels",
    "annotations",
    "repositoryHosts",
)
_RULES: Mapping[str, Any] = {
    **{name: ["*"] for name in _PATTERNS},
    "imageDigests": False,
    "serviceAccountToken": True,
    "hostAccess": False,
    "maxResources": {"memory": "1Ti"},
}
_EXPORTED: Mapping[str, Any] = {"project": "p", "mainRepoName": "shop", "mainRepoIndex": 0}
_PLATFORM: Mapping[str, Any] = {
    "groupAccess": [],
    "runnerSecretsName": "s",
    "repositories": [],
    "inactivityTimeoutSeconds": 10,
    "displayName": "Team A",
    "description": "What it is for",
}


def documents(namespace: str) -> dict[str, KubeObject]:
    """One document of each kind that uses every field of its kind."""
    metadata = {"name": "everything", "namespace": namespace, **_METADATA}
    budget = {"percent": 50, "atLeast": 2}
    policy = {
        "installation": "default",
        "namespaces": [namespace],
        "budgets": {"deletes": budget, "restarts": budget},
        "allowDeletes": [f"{namespace}/gone"],
        "allowRestarts": [f"{namespace}/other"],
        "allowEmpty": True,
        "onConflict": "heal",
        "allow": {**_RULES, "namespaces": {namespace: _RULES}},
        "mask": ["*_DSN"],
    }
    specs: Mapping[str, Mapping[str, Any]] = {
        SESSION_KIND: {**SPEC, **_EXPORTED},
        DEFAULTS_KIND: DEFAULTS,
        PROJECT_KIND: {**SHARED, **_PLATFORM, "mcpServers": MCP_SERVERS},
        POLICY_KIND: policy,
    }
    return {
        kind: {
            "apiVersion": API,
            "kind": kind,
            "metadata": {**metadata, **_SERVER_SET},
            "spec": spec,
            "status": {"phase": "Running"},
        }
        for kind, spec in specs.items()
    }


_RESERVED_PATHS = {"spec.image"} | {
    f"spec.{name}.{field}" for name, fields in _RESERVED.items() for field in fields
}


def unused(namespace: str) -> list[str]:
    """List the fields of any kind that the documents leave out, as `Kind: a.b[].c`."""
    return [
        f"{kind}: {path}"
        for kind, document in documents(namespace).items()
        for path in _unused(KINDS[kind], [document], "")
        if kind == DEFAULTS_KIND or path not in _RESERVED_PATHS
    ]


def _unused(kind: FieldType, values: list[Any], path: str) -> Iterator[str]:
    """Walk all values at one path; a field is used if any of them has it."""
    match kind:
        case ObjectType():
            for field in kind.fields:
                below = [value[field.name] for value in values if field.name in value]
                place = f"{path}.{field.name}".removeprefix(".")
                yield from _unused(field.type, below, place) if below else [place]
        case ListType():
            yield from _unused(kind.item, [item for value in values for item in value], f"{path}[]")
        case MapType():
            if not any(values):
                yield path
            below = [item for value in values for item in value.values()]
            yield from _unused(kind.value, below, f"{path}.*")
        case Scalar() | AnyType():
            pass
        case _:
            assert_never(kind)
