"""An answer that says no -> one of our errors, with what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import orjson

from reconcile.ci.errors import CommentError, DeniedError, MissingError, PassingError

_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_LIMITED: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
_KINDS: Final[Mapping[int, type[CommentError]]] = {
    HTTPStatus.FORBIDDEN: DeniedError,
    HTTPStatus.NOT_FOUND: MissingError,
    HTTPStatus.GONE: MissingError,
}
_QUOTED: Final = 200
_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that is no success; header names are in lower case."""

    doing: str
    code: int
    headers: Mapping[str, str]
    body: bytes


def refusal(refused: Refused, advice: Mapping[int, str]) -> CommentError:
    """Word a refusal; `advice` says for a status code what the person can do."""
    said = f"{refused.doing}: {refused.code} {_message(refused.body)}".rstrip()
    if refused.code in _PASSING or _is_rate_limit(refused):
        return PassingError(said, _wish(refused))
    words = "; ".join(part for part in (said, advice.get(refused.code, "")) if part)
    return _KINDS.get(refused.code, CommentError)(words)


def _message(body: bytes) -> str:
    """Quote the server on one line; both forges answer with a `message`, GitLab's may be nested."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(document, dict):
        return ""
    found = document.get("message", document.get("error", ""))
    text = found if isinstance(found, str) else orjson.dumps(found).decode()
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _QUOTED else line[: _QUOTED - 1] + "…"


def _is_rate_limit(refused: Refused) -> bool:
    """Tell a limit from a missing right: GitHub answers 403 for both.

    Source: docs.github.com, "Rate limits for the REST API", "Exceeding the rate limit".
    """
    if refused.code not in _LIMITED:
        return False
    headers = refused.headers
    spent = headers.get("x-ratelimit-remaining") == "0"
    return "retry-after" in headers or spent or b"rate limit" in refused.body.lower()


def _wish(refused: Refused) -> float:
    """Seconds that the server wants to be left alone; a limit that names none wants a minute."""
    asked = refused.headers.get("retry-after", "")
    if asked.isdecimal():
        return float(asked)
    limited = refused.code == HTTPStatus.TOO_MANY_REQUESTS or _is_rate_limit(refused)
    return _until_reset(refused.headers, _MINUTE if limited else 0.0)


def _until_reset(headers: Mapping[str, str], otherwise: float) -> float:
    """Tell when a spent limit is given anew, by the server's own clock."""
    if "0" not in (headers.get("x-ratelimit-remaining"), headers.get("ratelimit-remaining")):
        return otherwise
    reset = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
    try:
        now = parsedate_to_datetime(headers.get("date", "")).timestamp()
        return max(0.0, float(reset) - now) + 1.0
    except ValueError:
        return otherwise
