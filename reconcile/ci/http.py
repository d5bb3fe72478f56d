"""One request to a forge's API and its answer; foreign errors end here, nothing is repeated.

An answer that says no -> one of our errors, with what to do about it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import requests

from reconcile import __version__
from reconcile.ci.forge import CommentError, DeniedError, MissingError, PassingError

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


_TIMEOUT: Final = (10.0, 30.0)
"""Seconds to connect, and seconds of silence before an answer is given up."""


@dataclass(frozen=True, slots=True)
class Forge:
    """Which API, how to show who we are, and what to do about a refusal, by status code."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    advice: Mapping[int, str]


class _Headers(requests.auth.AuthBase):
    """Puts the credential in last, so that a ~/.netrc of the machine does not replace it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class Wire:
    """Sends requests to one API; the credential goes nowhere else."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._session = requests.Session()
        self._session.auth = _Headers(forge.headers)
        self._session.headers["User-Agent"] = f"reconcile/{__version__}"

    def send(
        self, doing: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Any:
        """Send a request to a path below the API's URL, or to a full URL of the same host.

        `doing` words it for errors. Gives the decoded answer, None where there is no content.
        """
        return _decoded(doing, self._exchange(doing, method, path, body))

    def pages(self, doing: str, path: str) -> Iterator[Any]:
        """Give the entries of all pages of a list, following the links between them."""
        seen: set[str] = set()
        where = path
        while where and where not in seen:
            seen.add(where)
            response = self._exchange(doing, "GET", where, None)
            page = _decoded(doing, response)
            if not isinstance(page, list):
                raise CommentError(f"{doing}: the answer is no list; is the API's URL right?")
            yield from page
            where = response.links.get("next", {}).get("url", "")

    def _exchange(
        self, doing: str, method: str, path: str, body: Mapping[str, Any] | None
    ) -> requests.Response:
        url = self._url(doing, path)
        content = None if body is None else orjson.dumps(body)
        try:
            response = self._session.request(
                method,
                url,
                data=content,
                headers={"Content-Type": "application/json"} if content else {},
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _failure(doing, url, error) from None
        if not response.ok or response.is_redirect:
            headers = {name.lower(): value for name, value in response.headers.items()}
            said = Refused(doing, response.status_code, headers, response.content)
            raise refusal(said, self._forge.advice)
        return response

    def _url(self, doing: str, path: str) -> str:
        if "://" not in path:
            return self._forge.url.rstrip("/") + path
        if urlsplit(path)[:2] != urlsplit(self._forge.url)[:2]:
            raise CommentError(
                f"{doing}: the server leads to another host, {urlsplit(path).netloc}"
            )
        return path


def _failure(doing: str, url: str, error: requests.RequestException) -> CommentError:
    host = urlsplit(url).netloc
    if isinstance(error, requests.exceptions.SSLError):
        return CommentError(
            f"{doing}: no trusted connection to {host}; if its certificate is of an authority of "
            "yours, name that authority's file in $REQUESTS_CA_BUNDLE"
        )
    if isinstance(error, requests.Timeout):
        return PassingError(f"{doing}: no answer from {host} in time")
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return PassingError(f"{doing}: no complete answer from {host}")
    return CommentError(f"{doing}: {host} cannot be asked: {type(error).__name__}")


def _decoded(doing: str, response: requests.Response) -> Any:
    if not response.content:
        return None
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        raise PassingError(f"{doing}: the answer is cut off or no JSON") from None
