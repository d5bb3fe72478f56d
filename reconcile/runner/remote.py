"""The server of a repository: its URL, how git proves who it is there, and what went wrong.

A token or a key is given to git in files of a folder that is removed afterwards: neither a command
line nor an environment nor the cloned repository has it.
"""

import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from reconcile.runner.credentials import Credentials, CredentialSource

_USER: Final = r"(?:(?P<user>[^/@\\?#\x00-\x20\x7f]*)@)?"
_HOST: Final = r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])"
_PATH: Final = r"[^?#\x00-\x20\x7f]+"
_URL: Final = re.compile(
    rf"(?P<protocol>https?|ssh|git)://{_USER}{_HOST}(?P<port>:[0-9]{{1,5}})?(?P<path>/{_PATH})"
)
_SCP: Final = re.compile(rf"{_USER}{_HOST}:(?P<path>(?![-:]){_PATH})")
_FILE: Final = re.compile(rf"file://(?P<path>/{_PATH})")
_USER_NAMES: Final = {"github": "x-access-token", "gitlab": "oauth2"}
_GERRIT: Final = "gerrit"
_SSH_KEY: Final = "sshKey"
_KNOWN_HOSTS: Final = "knownHosts"


class RemoteError(Exception):
    """A repository cannot be cloned; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository's URL in parts.

    Attributes:
        url: The URL without a password, which the clone stores as its origin.
        protocol: The transport, such as `https`.
        host: The host in lower case without its port; empty for a file.
        server: Host and port as in the URL.
        user: The user name that the URL has.
        password: The password that the URL has.
    """

    url: str
    protocol: str
    host: str = ""
    server: str = ""
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def parse_remote(url: str, *, allow_files: bool = False) -> Remote:
    """Parse a repository's URL; whatever git could understand in another way is refused.

    Raises:
        RemoteError: It is none that can be cloned.
    """
    if allow_files and _FILE.fullmatch(url):
        return Remote(url, "file")
    match = _URL.fullmatch(url)
    if match is not None:
        return _parse_url(match)
    match = _SCP.fullmatch(url) if "://" not in url else None
    if match is None:
        raise RemoteError(
            "its URL is not one that can be cloned: write https://host/team/repo or "
            "git@host:team/repo, without a query"
        )
    return Remote(url, "ssh", _normalize(match["host"]), match["host"], match["user"] or "")


def _parse_url(match: re.Match[str]) -> Remote:
    protocol, host = match["protocol"], match["host"]
    server = host + (match["port"] or "")
    user, _, password = (match["user"] or "").partition(":")
    keeps_user = protocol == "ssh" and user
    url = f"{protocol}://{user + '@' if keeps_user else ''}{server}{match['path']}"
    return Remote(url, protocol, _normalize(host), server, unquote(user), unquote(password))


def _normalize(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def list_url_secrets(url: str) -> Iterator[str]:
    """Yield the user name and the password of a URL, of which either may be a token."""
    for part in re.findall(r"://([^/\s]*)@", url):
        yield from (part, unquote(part))
        yield from (unquote(each) for each in part.split(":"))


def check_host(remote: Remote, patterns: tuple[str, ...]) -> None:
    """Check that the policy allows the host; without patterns, all hosts are allowed.

    Raises:
        RemoteError: It does not.
    """
    allowed = any(fnmatchcase(remote.host, each.lower()) for each in patterns)
    if patterns and remote.host and not allowed:
        raise RemoteError(
            f"the policy does not allow repositories of {remote.host}: allowed are "
            + ", ".join(patterns)
        )


@dataclass(frozen=True, slots=True)
class Access:
    """How git proves who it is: the settings for git, and where they come from.

    `source` is the declared credential of the host, of which `fields` are there now.
    """

    remote: Remote
    source: CredentialSource | None
    fields: Mapping[str, str] = field(repr=False)
    config: tuple[str, ...] = ()
    ssh_command: str = ""

    @property
    def field_name(self) -> str:
        """The field of the credential that this transport needs."""
        if self.remote.protocol == "ssh":
            return _SSH_KEY
        is_gerrit = self.source is not None and self.source.provider == _GERRIT
        return "httpToken" if is_gerrit else "token"

    def describe_key(self, name: str) -> str:
        """Say which key of which Secret has a field of the credential."""
        if self.source is None:
            return f"`{name}` of the credential"
        return f"key `{self.source.keys.get(name, name)}` of Secret `{self.source.secret_name}`"

    def describe_missing(self, name: str) -> str:
        """Say what to do to have a field of the credential."""
        if self.source is not None:
            return (
                f"Secret `{self.source.secret_name}` has no key "
                f"`{self.source.keys.get(name, name)}`, which would be used"
            )
        provider = {"github.com": "github", "gitlab.com": "gitlab"}.get(self.remote.host, "")
        more = "" if provider else f", host: {self.remote.host}"
        example = f"{{provider: {provider or 'gitlab'}{more}, secretName: …}}"
        return (
            f"no credential is declared for {self.remote.host}: declare `credentials: [{example}]`"
            f" with a Secret whose key `{name}` has it"
        )


@contextmanager
def open_access(
    remote: Remote, credentials: Credentials, ca_file: Path | None, state: Path
) -> Iterator[Access]:
    """Write what git needs into a folder below `state` for the duration of the block.

    Raises:
        OSError: The files cannot be written.
    """
    source = credentials.find_for_host(remote.host) if remote.host else None
    fields = credentials.read(source) if source else {}
    config = [f"http.sslCAInfo={ca_file}"] if ca_file and ca_file.is_file() else []
    with tempfile.TemporaryDirectory(prefix="access-", dir=state) as name:
        folder = Path(name)
        login = _find_login(remote, source, fields)
        # A token is never sent without encryption: any network in between could read it.
        if login and remote.protocol == "https":
            user, password = (quote(each, safe="") for each in login)
            path = _write(folder / "login", f"https://{user}:{password}@{remote.server}\n")
            config.append(f"credential.helper=store --file={shlex.quote(str(path))}")
        ssh_command = _build_ssh_command(fields, folder) if remote.protocol == "ssh" else ""
        yield Access(remote, source, fields, tuple(config), ssh_command)


def _find_login(
    remote: Remote, source: CredentialSource | None, fields: Mapping[str, str]
) -> tuple[str, str] | None:
    if remote.user:
        return remote.user, remote.password
    if source is None:
        return None
    if source.provider == _GERRIT:
        token, user = fields.get("httpToken"), fields.get("username", "")
    else:
        token, user = fields.get("token"), _USER_NAMES.get(source.provider, "git")
    return (user, token) if token else None


_SSH_OPTIONS: Final = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "GlobalKnownHostsFile=/dev/null",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "ProxyCommand=none",
    "ControlPath=none",
    "ConnectTimeout=30",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
)


def _build_ssh_command(fields: Mapping[str, str], folder: Path) -> str:
    """Write key and known hosts, and return a command that uses these and no other configuration.

    A key without a line end at its end, or with those of Windows, is not accepted by ssh.
    """
    key = fields.get(_SSH_KEY, "").replace("\r\n", "\n").strip()
    path = _write(folder / "key", f"{key}\n") if key else "none"
    hosts = _write(folder / "known_hosts", fields.get(_KNOWN_HOSTS, "") + "\n")
    options = (*_SSH_OPTIONS, f"IdentityFile={path}", f"UserKnownHostsFile={hosts}")
    return shlex.join(["ssh", "-F", "/dev/null", *(part for o in options for part in ("-o", o))])


def _write(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text, newline="")
    return path
