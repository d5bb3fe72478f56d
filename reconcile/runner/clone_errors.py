"""What git's error output means: the reason in words, and whether it may pass by itself."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from reconcile.runner.remote import Access
from reconcile.runtime.git import GitResult

_LONGEST_REASON: Final = 400


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a clone failed; `may_pass` if another attempt can succeed."""

    reason: str
    may_pass: bool = False


def explain_failure(result: GitResult, access: Access, branch: str) -> Failure:
    """Say why git failed. What the server wrote about itself is not looked at."""
    text = result.err.decode(errors="backslashreplace")
    lines = [line for line in text.splitlines() if not line.startswith("remote:")]
    words = _ADDRESS.sub("''", "\n".join(lines).replace(access.remote.url, ""))
    for pattern, describe in _PERMANENT:
        if match := re.search(pattern, words):
            return Failure(describe(access, branch, match))
    may_pass = bool(_MAY_PASS.search(words))
    return Failure(_choose_line(lines) or result.reason, may_pass)


def _choose_line(lines: list[str]) -> str:
    """The first error is the cause; git's last line often is general advice."""
    errors = [line for line in lines if re.match("(fatal|error|ssh): ", line)]
    chosen = (errors or lines[-1:] or [""])[0]
    return re.sub(r"^(fatal|error): ", "", chosen)[:_LONGEST_REASON]


def _describe_no_branch(_access: Access, branch: str, _match: re.Match[str]) -> str:
    return f"it has no branch `{branch}`"


def _describe_no_login(access: Access, _branch: str, _match: re.Match[str]) -> str:
    if access.remote.protocol == "http":
        return (
            "it asks for a password, and none is sent without encryption: write a URL with https://"
        )
    return f"it is private: {access.describe_missing(access.field_name)}"


def _describe_refused(access: Access, branch: str, match: re.Match[str]) -> str:
    if access.remote.user and access.remote.protocol == "https":
        return "the server refuses the user or password that the URL has"
    if not access.fields.get(access.field_name):
        return _describe_no_login(access, branch, match)
    key = access.describe_key(access.field_name)
    return f"the server refuses {key}: it has expired, or may not read this repository"


def _describe_not_found(access: Access, _branch: str, _match: re.Match[str]) -> str:
    if access.fields.get(access.field_name):
        key = access.describe_key(access.field_name)
        return f"it does not exist, or {key} may not read it"
    return f"it does not exist, or is private: {access.describe_missing(access.field_name)}"


def _describe_moved(_access: Access, _branch: str, match: re.Match[str]) -> str:
    return (
        f"the server answered {match[1]}: the repository has moved, and redirects are not "
        "followed: write its new URL"
    )


def _describe_certificate(access: Access, _branch: str, _match: re.Match[str]) -> str:
    return (
        f"the certificate of {access.remote.host} is not trusted: name the ConfigMap with its CA "
        "in `runner.caConfigMapName`"
    )


def _describe_host_key(access: Access, _branch: str, match: re.Match[str]) -> str:
    problem = "has changed" if "CHANGED" in match[0] else "is not known"
    where = access.describe_key("knownHosts")
    return (
        f"the host key of {access.remote.host} {problem}: put its `known_hosts` line into {where}"
    )


def _describe_no_user(_access: Access, _branch: str, _match: re.Match[str]) -> str:
    return (
        "ssh needs a user name for the pod's user id, and the image has none: use an https URL, or "
        "add the user to the image"
    )


def _describe_killed(_access: Access, _branch: str, _match: re.Match[str]) -> str:
    return (
        "git was killed, most likely because it needs more memory: raise "
        "`mirror.resources.limits.memory`, which `prepare` has too"
    )


_Describe = Callable[[Access, str, re.Match[str]], str]
_NOT_FOUND: Final = (
    r"repository '.*' not found|returned error: 404|Repository not found"
    r"|does not appear to be a git repository"
)
_PERMANENT: Final[tuple[tuple[str, _Describe], ...]] = (
    (r"Remote branch .* not found in upstream|Could not find remote branch", _describe_no_branch),
    (r"could not read (?:Username|Password)|terminal prompts disabled", _describe_no_login),
    (r"Authentication failed|returned error: 40[13]|Permission denied \(", _describe_refused),
    (_NOT_FOUND, _describe_not_found),
    (r"returned error: (3[0-9]{2})", _describe_moved),
    (r"(?i)certificate|sslcainfo|CAfile", _describe_certificate),
    (r"IDENTIFICATION HAS CHANGED|Host key verification failed", _describe_host_key),
    (r"No user exists for uid", _describe_no_user),
    (r"died of signal 9", _describe_killed),
)
_ADDRESS: Final = re.compile(r"'[^'\n]*'|\bhost(?:name)?:? \S+")
"""What a message has of the address, whose words are not those of git."""

_MAY_PASS: Final = re.compile(
    r"(?i)could not resolve|resolving timed out|temporary failure|name resolution"
    r"|failed to connect|couldn't connect|connection (?:reset|refused|closed|timed out|was)"
    r"|timed out|no route to host|network is unreachable|too slow|empty reply|transfer closed"
    r"|early eof|unexpected disconnect|hung up|rpc failed|recv failure|send failure|http/2"
    r"|gnutls|tls connection|ssl_|kex_exchange|returned error: (?:408|429|5[0-9]{2})"
)
