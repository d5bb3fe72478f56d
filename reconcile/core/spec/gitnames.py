"""Git URLs, branches and paths that git takes for what they are, and for nothing else.

Sources: git-clone "GIT URLS", git-check-ref-format, gitremote-helpers for `<transport>::<address>`.
"""

import re
from typing import Final

from reconcile.core.spec.field_types import TEXT, Scalar

_HOST: Final = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])"
_URL: Final = re.compile(
    rf"(?P<scheme>https?|ssh|git)://(?:(?P<user>[^/@]*)@)?{_HOST}(?::[0-9]{{1,5}})?/.+"
)
_SCP: Final = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]*@{_HOST}:[^:-].*")
_SSH_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_NO_BLANK: Final = r"[^\x00-\x20\x7f-\xa0\u2028\u2029]"
_BAD_IN_BRANCH: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|\.$|/$")
_LONGEST: Final = 2048
_LONGEST_BRANCH: Final = 244
_EXAMPLE: Final = "such as https://host/team/repo or git@host:team/repo"


def _url_reason(value: str) -> str:
    if value.startswith("-"):
        return "begins with `-`: git would read it as an option"
    if len(value) > _LONGEST or not re.fullmatch(f"{_NO_BLANK}+", value):
        return f"must be a URL {_EXAMPLE}, without blanks and control characters"
    if re.match("[A-Za-z0-9+.-]*::", value):
        return "names a remote helper (`ext::` and the like), which git would run as a program"
    address = _URL.fullmatch(value)
    if address is None:
        return "" if _SCP.fullmatch(value) else f"must be an https or ssh URL {_EXAMPLE}"
    return _address_reason(address["scheme"], address["user"], value)


def _address_reason(scheme: str, user: str | None, value: str) -> str:
    is_plain_user = scheme == "ssh" and user is not None and _SSH_USER.fullmatch(user)
    if user is not None and not is_plain_user:
        return "has credentials in it: remove them, and give them to the runner in a Secret"
    if "?" in value or "#" in value:
        return "has a query or a fragment: remove it, and give credentials in a Secret"
    return ""


def _branch_reason(value: str) -> str:
    if value.startswith("-"):
        return "begins with `-`: git would read it as an option"
    is_odd = not value or value.startswith(("/", ".")) or value in {"@", "HEAD"}
    if is_odd or len(value) > _LONGEST_BRANCH or _BAD_IN_BRANCH.search(value):
        return "must be a name that git takes for a branch (see git-check-ref-format)"
    return ""


def _path_reason(value: str) -> str:
    if value.startswith(("/", "-")) or ".." in value.split("/"):
        return "must be a path inside the repository"
    is_plain = len(value) <= _LONGEST and re.fullmatch(r"[^\x00-\x1f\x7f-\x9f\\]*", value)
    return "" if is_plain else "must be a path inside the repository, without control characters"


def folder(url: str) -> str:
    """The folder that git clones a URL into: its last part without `.git`."""
    return re.split("[/:]", url.rstrip("/"))[-1].removesuffix(".git")


GIT_URL: Final = Scalar(
    "text",
    TEXT,
    {
        "type": "string",
        "maxLength": _LONGEST,
        "pattern": rf"^((https?|git)://[^/@]+/|ssh://[^/:]+(:[0-9]+)?/|[^-:/][^:/]*@[^:]+:[^:-])"
        rf"{_NO_BLANK}*$",
    },
    _url_reason,
)
BRANCH: Final = Scalar(
    "text",
    TEXT,
    {"type": "string", "maxLength": _LONGEST_BRANCH, "pattern": r"^[^-/.\s][^\s~^:?*\[\\]*$"},
    _branch_reason,
)
REPOSITORY_PATH: Final = Scalar(
    "text",
    TEXT,
    {"type": "string", "maxLength": _LONGEST, "pattern": r"^([^/\\-][^\\]*)?$"},
    _path_reason,
)
