"""The field tables of the agent's work: model, repositories, credentials, MCP servers."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from reconcile.core.source_location import printable_excerpt
from reconcile.core.spec.field_types import (
    BOOL,
    NO_EFFECT_YET,
    TEXT,
    AnyType,
    Field,
    ListType,
    MapType,
    ObjectType,
    Scalar,
    bounded_integer,
    bounded_number,
    identity,
    suggest_name,
)
from reconcile.core.spec.formats import (
    BRANCH,
    FOLDER_NAME,
    GIT_URL,
    HOST,
    MODEL,
    OBJECT_NAME,
    REPOSITORY_PATH,
    SECRET_KEY,
    SINGLE_LINE,
)

MAX_VARIABLE_CHARACTERS: Final = 30_000
"""The runner gets a JSON document as a variable only if it is shorter than this."""

LLM: Final = ObjectType(
    (
        Field("model", MODEL, "The model's name; the runner has a default of its own."),
        Field(
            "temperature",
            bounded_number(0, 2),
            "The sampling temperature; the platform's runner does not read it.",
            0.7,
        ),
        Field(
            "maxTokens",
            bounded_integer(1, 10_000_000),
            "The maximum length of an answer, in tokens; the platform's runner does not read it.",
            4000,
        ),
    )
)
"""The model and how it answers."""

REPO: Final = ObjectType(
    (
        Field("url", GIT_URL, "The https or ssh URL to clone.", required=True),
        Field(
            "name",
            FOLDER_NAME,
            "The folder below `repos/`; by default the last part of the URL without `.git`.",
        ),
        Field("branch", BRANCH, "The branch to check out; by default the repository's own."),
        Field("autoPush", BOOL, "Whether the agent is asked to push its changes.", default=False),
    )
)
"""A repository that is cloned into the workspace."""

WORKFLOW: Final = ObjectType(
    (
        Field("gitUrl", GIT_URL, "The repository that holds the workflow."),
        Field("branch", BRANCH, "The branch to check out; by default the repository's own."),
        Field("path", REPOSITORY_PATH, "The workflow's folder in the repository."),
    )
)
"""The workflow that the runner follows."""

USER: Final = ObjectType(
    (
        Field("userId", SINGLE_LINE, "The id of the user for whom the session works."),
        Field("displayName", SINGLE_LINE, "The user's display name."),
        Field(
            "groups",
            ListType(SINGLE_LINE),
            "The user's groups.",
            warning=NO_EFFECT_YET,
            unless=([],),
        ),
    )
)
"""The user for whom the session works."""


def find_length_error(value: Any) -> str:
    """Return why a value is too long to be a variable as JSON, or an empty text."""
    length = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    if length < MAX_VARIABLE_CHARACTERS:
        return ""
    return f"has {length} characters as JSON: must be under {MAX_VARIABLE_CHARACTERS}"


MCP_SERVERS: Final = ObjectType(
    (
        Field(
            "custom",
            MapType(SINGLE_LINE, MapType(SINGLE_LINE, AnyType())),
            "MCP servers by name, each as the runner's format has it.",
        ),
        Field(
            "disabled", ListType(SINGLE_LINE, identity), "The runner's own servers to leave out."
        ),
    ),
    find_length_error,
)
"""The MCP servers of a session or a project."""

_GIT_SSH: Final = ("sshKey", "knownHosts")

PROVIDER_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "github": ("token", "userName", "email", "expiresAt", *_GIT_SSH),
    "gitlab": ("token", "instanceUrl", "userName", "email", "expiresAt", *_GIT_SSH),
    "jira": ("url", "email", "apiToken"),
    "google": ("accessToken", "refreshToken", "email", "scopes", "expiresAt"),
    "gerrit": (
        "instanceName",
        "url",
        "authMethod",
        "username",
        "httpToken",
        "gitcookiesContent",
        *_GIT_SSH,
    ),
    "coderabbit": ("apiKey",),
    "kubeconfig": ("token",),
}
"""The fields of each provider's credential, as the platform answers them; ssh keys are for git."""

MCP_PROVIDER: Final = "mcp/"
"""The credential of an MCP server; its fields are what that server's configuration names."""


def _find_provider_error(value: str) -> str:
    if value in PROVIDER_FIELDS or re.fullmatch(f"{MCP_PROVIDER}[A-Za-z0-9_][A-Za-z0-9_-]*", value):
        return ""
    listed = ", ".join(PROVIDER_FIELDS)
    return f"must be {listed} or mcp/NAME{suggest_name(value, PROVIDER_FIELDS)}"


_PROVIDER: Final = Scalar(
    "text",
    TEXT,
    {
        "type": "string",
        "pattern": f"^({'|'.join(PROVIDER_FIELDS)}|mcp/[A-Za-z0-9_][A-Za-z0-9_-]*)$",
    },
    _find_provider_error,
)

_GIT_PROVIDERS: Final = tuple(
    provider for provider, fields in PROVIDER_FIELDS.items() if "sshKey" in fields
)


def find_provider(credential: Mapping[str, Any]) -> str | None:
    """Return the provider of a credential, if it is a text."""
    provider = credential.get("provider")
    return provider if isinstance(provider, str) else None


def _find_credential_error(credential: Mapping[str, Any]) -> str:
    provider, keys = find_provider(credential), credential.get("keys") or {}
    if provider is None or _find_provider_error(provider) or not isinstance(keys, dict):
        return ""
    if credential.get("host") and provider not in _GIT_PROVIDERS:
        return f"`host` is for {', '.join(_GIT_PROVIDERS)}: {provider} has no repositories"
    if not keys:
        return _find_missing_keys_error(provider, credential.get("secretName"))
    fields = PROVIDER_FIELDS.get(provider, ())
    for name in keys if fields else ():
        if name not in fields:
            hint = suggest_name(name, fields) or f"; known are {', '.join(fields)}"
            return f"`keys` has the unknown field `{printable_excerpt(name)}`{hint}"
    return _find_store_key_error(credential.get("secretName"), keys.values())


def _find_missing_keys_error(provider: str, secret: Any) -> str:
    if provider.startswith(MCP_PROVIDER):
        return "`keys` is missing: it names the fields that the MCP server needs"
    return find_whole_secret_error(secret)


INTEGRATIONS: Final = "ambient-non-vertex-integrations"
"""The platform's Secret for integrations, which can have the keys of the store as well."""

_STORE_KEY: Final = re.compile("(?:S3|AWS|MINIO)_.*")


def find_whole_secret_error(secret: Any) -> str:
    """Return why all keys of a Secret must not be taken, or an empty text."""
    reason = f"must not be the whole Secret `{INTEGRATIONS}`, which can have S3 keys"
    return f"{reason}: name its `keys` in `credentials`" if secret == INTEGRATIONS else ""


def _find_store_key_error(secret: Any, keys: Iterable[Any]) -> str:
    taken = [key for key in keys if _STORE_KEY.fullmatch(str(key))]
    if secret != INTEGRATIONS or not taken:
        return ""
    return f"must not take `{taken[0]}`: keys of the store are for mirrors alone"


CREDENTIAL: Final = ObjectType(
    (
        Field("provider", _PROVIDER, "The service that the credential is for.", required=True),
        Field("secretName", OBJECT_NAME, "The Secret that holds it.", required=True),
        Field(
            "keys",
            MapType(SECRET_KEY, SECRET_KEY),
            "The Secret's key of each field of the credential; by default the fields' own names.",
        ),
        Field(
            "host",
            HOST,
            "The host of the repositories that it is for; by default github.com or gitlab.com.",
        ),
    ),
    _find_credential_error,
)
"""A credential for the agent."""
