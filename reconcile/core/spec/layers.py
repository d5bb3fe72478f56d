"""Merges layers of settings, and fills in defaults and what follows from other settings.

So templates find a value for every name. Results share values with their inputs and must not be
changed.
"""

from collections.abc import Mapping
from typing import Any, Final, assert_never

from reconcile.core.spec.agent_fields import PROVIDER_FIELDS
from reconcile.core.spec.field_types import (
    AnyType,
    FieldType,
    ListType,
    MapType,
    ObjectType,
    Scalar,
)
from reconcile.core.spec.formats import clone_directory

STATE_DIR_VARIABLE: Final = "RUNNER_STATE_DIR"
"""The variable with which a session names the folder of the runner's conversation."""

_GEMINI: Final = {"RUNNER_TYPE": "gemini-cli"}
_DEFAULT_HOSTS: Final = {"github": "github.com", "gitlab": "gitlab.com"}


def default_values(kind: ObjectType) -> Mapping[str, Any]:
    """Every known field with its default: None, an empty list or an empty mapping without one."""
    return {field.name: _default_value(field.type, field.default) for field in kind.fields}


def merge_layer(
    kind: ObjectType, base: Mapping[str, Any], layer: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Merge a layer into a complete base: mappings merge at every depth, lists replace.

    A null in a mapping whose names the author chooses takes back the entry of the base.
    """
    known = kind.by_name
    merged = {
        name: _merge_value(known[name].type, base[name], value)
        for name, value in layer.items()
        if name in known
    }
    return {**base, **merged}


def _merge_value(kind: FieldType, base: Any, value: Any) -> Any:
    match kind:
        case Scalar() | AnyType():
            return value
        case MapType():
            return {name: item for name, item in {**base, **value}.items() if item is not None}
        case ListType():
            return [_fill_defaults(kind.item, item) for item in value]
        case ObjectType():
            return merge_layer(kind, base, value)
        case _:
            assert_never(kind)


def _fill_defaults(kind: FieldType, value: Any) -> Any:
    if isinstance(kind, ObjectType) and not kind.is_passthrough:
        return merge_layer(kind, default_values(kind), value)
    return value


def _default_value(kind: FieldType, default: Any) -> Any:
    match kind:
        case Scalar() | AnyType():
            return default
        case MapType():
            return dict(default or {})
        case ListType():
            return list(default or [])
        case ObjectType():
            return default_values(kind)
        case _:
            assert_never(kind)


def build_project_layer(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bring what a `project.yaml` sets into the form of a session's `spec`.

    The MCP servers of a project do not replace those of a session: the runner gets both.
    """
    renamed = {"mcpServers": "projectMcpServers", "inactivityTimeoutSeconds": "inactivityTimeout"}
    kept = {name: value for name, value in layer.items() if name not in renamed}
    return {renamed[name]: layer[name] for name in renamed if name in layer} | kept


def resolve_spec(spec: Mapping[str, Any], runner_secret: str | None = None) -> Mapping[str, Any]:
    """Fill in what the merged `spec` of a session does not set.

    `runner_secret` is the project's `runnerSecretsName`.
    """
    runner = spec["runner"]
    sources = _add_secret(runner["envFrom"], runner_secret)
    state_dir = runner["stateDir"] or find_state_dir(spec["environmentVariables"])
    return {
        **spec,
        "runner": {**runner, "stateDir": state_dir, "envFrom": sources},
        "repos": [{**repo, "name": find_folder(repo)} for repo in spec["repos"]],
        "credentials": [_resolve_credential(each) for each in spec["credentials"]],
    }


def find_state_dir(variables: Mapping[str, str]) -> str:
    """Return the state directory that a session's variables demand, as the runner does."""
    is_gemini = variables.items() >= _GEMINI.items()
    return variables.get(STATE_DIR_VARIABLE) or (".gemini" if is_gemini else ".claude")


def find_folder(repository: Mapping[str, Any]) -> str:
    """Return the folder below `repos/` into which a repository is cloned."""
    return str(repository.get("name") or clone_directory(repository["url"]))


def _add_secret(sources: list[Mapping[str, Any]], name: str | None) -> list[Mapping[str, Any]]:
    named = [source.get("secretRef", {}).get("name") for source in sources]
    is_missing = name is not None and name not in named
    return [*sources, {"secretRef": {"name": name}}] if is_missing else sources


def _resolve_credential(credential: Mapping[str, Any]) -> Mapping[str, Any]:
    provider = credential["provider"]
    fields = PROVIDER_FIELDS.get(provider, ())
    return {
        **credential,
        "keys": credential["keys"] or {field: field for field in fields},
        "host": credential["host"] or _DEFAULT_HOSTS.get(provider),
    }
