"""Settings that follow from others: folder names, Secret keys, what a project adds to its sessions.

Templates find a value for each of them.
"""

from collections.abc import Mapping
from typing import Any, Final

from reconcile.core.spec.agent_fields import PROVIDER_FIELDS
from reconcile.core.spec.formats import clone_directory

STATE_DIR_VARIABLE: Final = "RUNNER_STATE_DIR"
"""The variable with which a session names the folder of the runner's conversation."""

_GEMINI: Final = {"RUNNER_TYPE": "gemini-cli"}
_DEFAULT_HOSTS: Final = {"github": "github.com", "gitlab": "gitlab.com"}


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
