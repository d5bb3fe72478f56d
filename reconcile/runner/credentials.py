"""The declared credentials, as files of mounted Secrets, and the answers to a runner.

Each file is `<provider>/<field>`, for example `github/token`. The files are read at each use, since
the kubelet replaces them when a Secret is rotated.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

_HOSTS: Final = {"github": "github.com", "gitlab": "gitlab.com"}
_LARGEST_FILE: Final = 1 << 20
_MCP: Final = "mcp/"
_GIT_SSH: Final = frozenset({"sshKey", "knownHosts"})

PUBLIC_FIELDS: Final = frozenset(
    {"userName", "username", "email", "url", "instanceUrl", "instanceName", "authMethod"}
    | {"expiresAt", "scopes", "knownHosts", "provider"}
)
"""Fields that are no secrets, and would make texts unreadable if they were masked."""

Fields = Mapping[str, str]
AnswerBody = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where a credential comes from: `keys` maps the fields of the answer to keys of the Secret.

    `host` is the host of the repositories that the credential is for, empty if it is for none.
    """

    provider: str
    secret_name: str
    keys: Mapping[str, str] = field(default_factory=dict)
    host: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Reads the mounted files of the declared credentials."""

    directory: Path
    sources: tuple[CredentialSource, ...] = ()

    def find(self, provider: str) -> CredentialSource | None:
        """Find the declared credential of a provider."""
        return next((each for each in self.sources if each.provider == provider), None)

    def find_for_host(self, host: str) -> CredentialSource | None:
        """Find the credential for the repositories of a host."""
        return next((each for each in self.sources if each.host and each.host == host), None)

    def read(self, source: CredentialSource) -> dict[str, str]:
        """Read the fields that are there now; a missing Secret or key has no field."""
        fields = ((name, self._read_file(source, name)) for name in source.keys)
        return {name: text for name, text in fields if text}

    def list_secrets(self) -> Iterator[str]:
        """Yield every value that must not be shown."""
        for source in self.sources:
            fields = self.read(source)
            yield from (text for name, text in fields.items() if name not in PUBLIC_FIELDS)

    def _read_file(self, source: CredentialSource, name: str) -> str:
        try:
            with (self.directory / source.provider / name).open("rb") as file:
                return file.read(_LARGEST_FILE).decode(errors="replace").rstrip("\n")
        except OSError:
            return ""


@dataclass(frozen=True, slots=True)
class CredentialAnswer:
    """The answer to a runner that asks for a credential: an HTTP status and a body for JSON."""

    status: int
    body: AnswerBody = field(repr=False)


def answer_request(credentials: Credentials, provider: str) -> CredentialAnswer:
    """Answer a runner's request; what is not there is 404, which lets its run go on."""
    source = credentials.find(provider)
    if source is None:
        return CredentialAnswer(404, {"error": _describe_undeclared(provider)})
    body = build_answer(provider, credentials.read(source))
    if body is None:
        return CredentialAnswer(404, {"error": _describe_missing(source)})
    return CredentialAnswer(200, body)


def build_answer(provider: str, fields: Fields) -> AnswerBody | None:
    """Build the platform's answer from the fields that are there; None if they are not enough.

    `sshKey` and `knownHosts` are for `prepare` alone: no answer has them.
    """
    shown = {name: text for name, text in fields.items() if name not in _GIT_SSH}
    if provider.startswith(_MCP):
        return _answer_mcp(provider.removeprefix(_MCP), shown)
    build = _BUILDERS.get(provider)
    return None if build is None else build(shown)


def _answer_git_host(provider: str, fields: Fields, optional: tuple[str, ...]) -> AnswerBody | None:
    if not fields.get("token"):
        return None
    identity = {name: fields.get(name, "") for name in ("token", "userName", "email")}
    return {**identity, "provider": provider, **_pick(fields, optional)}


def _answer_github(fields: Fields) -> AnswerBody | None:
    return _answer_git_host("github", fields, ("expiresAt",))


def _answer_gitlab(fields: Fields) -> AnswerBody | None:
    return _answer_git_host("gitlab", fields, ("instanceUrl", "expiresAt"))


def _answer_jira(fields: Fields) -> AnswerBody | None:
    token = fields.get("apiToken") or fields.get("token")
    if not token:
        return None
    return {"url": fields.get("url", ""), "email": fields.get("email", ""), "apiToken": token}


def _answer_google(fields: Fields) -> AnswerBody | None:
    """A user's tokens, or the JSON key of a service account as `token`."""
    if fields.get("accessToken"):
        names = ("accessToken", "refreshToken", "email", "expiresAt")
        scopes = re.findall(r'[^\s,"\[\]]+', fields.get("scopes", ""))
        return {**{name: fields.get(name, "") for name in names}, "scopes": scopes}
    return _pick(fields, ("token", "email")) if fields.get("token") else None


def _answer_gerrit(fields: Fields) -> AnswerBody | None:
    is_cookies = fields.get("authMethod") == "git_cookies" or not fields.get("httpToken")
    names = ("gitcookiesContent",) if is_cookies else ("username", "httpToken")
    if not fields.get("url") or not fields.get(names[-1]):
        return None
    instance = {
        "instanceName": fields.get("instanceName", "default"),
        "url": fields["url"],
        "authMethod": "git_cookies" if is_cookies else "http_basic",
    }
    return [{**instance, **_pick(fields, names)}]


def _answer_coderabbit(fields: Fields) -> AnswerBody | None:
    return _pick(fields, ("apiKey",)) or None


def _answer_kubeconfig(fields: Fields) -> AnswerBody | None:
    text = fields.get("token") or fields.get("kubeconfig")
    return {"token": text, "provider": "kubeconfig"} if text else None


def _answer_mcp(server: str, fields: Fields) -> AnswerBody | None:
    return {"serverName": server, "fields": dict(fields)} if fields else None


def _pick(fields: Fields, names: tuple[str, ...]) -> dict[str, str]:
    return {name: fields[name] for name in names if fields.get(name)}


_BUILDERS: Final[Mapping[str, Callable[[Fields], AnswerBody | None]]] = {
    "github": _answer_github,
    "gitlab": _answer_gitlab,
    "jira": _answer_jira,
    "google": _answer_google,
    "gerrit": _answer_gerrit,
    "coderabbit": _answer_coderabbit,
    "kubeconfig": _answer_kubeconfig,
}


def _describe_undeclared(provider: str) -> str:
    name = provider[:100]
    if name not in _BUILDERS and not name.startswith(_MCP):
        known = ", ".join(sorted(_BUILDERS))
        return f"there is no provider {name!r}; there are {known} and {_MCP}NAME"
    return (
        f"no credential for {name} is declared; add one to `credentials` of the session, of "
        f"project.yaml or of defaults.yaml, with `provider: {name}`, `secretName` and `keys`"
    )


def _describe_missing(source: CredentialSource) -> str:
    keys = ", ".join(f"{key} (for {name})" for name, key in sorted(source.keys.items()))
    return (
        f"the credential for {source.provider} is declared, but Secret {source.secret_name} is not "
        f"there, or lacks one of the keys that are needed; `keys` names {keys or 'none'}"
    )


def parse_sources(text: str) -> tuple[CredentialSource, ...]:
    """Parse the setting: a JSON list of `{provider, secretName, keys, host}`.

    Raises:
        ValueError: It is something else.
    """
    items: Any = orjson.loads(text or "[]")
    if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
        raise ValueError("must be a list of credentials")
    return tuple(
        CredentialSource(
            each["provider"],
            each["secretName"],
            each.get("keys") or {},
            (each.get("host") or _HOSTS.get(each["provider"], "")).lower(),
        )
        for each in items
    )
