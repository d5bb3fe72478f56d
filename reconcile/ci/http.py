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
from reconcile.ci.forge import (
    CommentError,
    CommentForbiddenError,
    CommentNotFoundError,
    TransientCommentError,
)

_RETRYABLE_CODES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_RATE_LIMIT_CODES: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
_ERROR_CLASSES: Final[Mapping[int, type[CommentError]]] = {
    HTTPStatus.FORBIDDEN: CommentForbiddenError,
    HTTPStatus.NOT_FOUND: CommentNotFoundError,
    HTTPStatus.GONE: CommentNotFoundError,
}
_MAX_QUOTE: Final = 200
_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class ForgeErrorResponse:
    """An answer that is no success; header names are in lower case."""

    operation: str
    code: int
    headers: Mapping[str, str]
    body: bytes


def build_comment_error(response: ForgeErrorResponse, advice: Mapping[int, str]) -> CommentError:
    """Word a refusal; `advice` says for a status code what the person can do."""
    said = f"{response.operation}: {response.code} {_quote_message(response.body)}".rstrip()
    if response.code in _RETRYABLE_CODES or _is_rate_limit(response):
        return TransientCommentError(said, _find_retry_after(response))
    words = "; ".join(part for part in (said, advice.get(response.code, "")) if part)
    return _ERROR_CLASSES.get(response.code, CommentError)(words)


def _quote_message(body: bytes) -> str:
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
    return line if len(line) <= _MAX_QUOTE else line[: _MAX_QUOTE - 1] + "…"


def _is_rate_limit(response: ForgeErrorResponse) -> bool:
    """Tell a limit from a missing right: GitHub answers 403 for both.

    Source: docs.github.com, "Rate limits for the REST API", "Exceeding the rate limit".
    """
    if response.code not in _RATE_LIMIT_CODES:
        return False
    headers = response.headers
    spent = headers.get("x-ratelimit-remaining") == "0"
    return "retry-after" in headers or spent or b"rate limit" in response.body.lower()


def _find_retry_after(response: ForgeErrorResponse) -> float:
    """Seconds that the server wants to be left alone; a limit that names none wants a minute."""
    asked = response.headers.get("retry-after", "")
    if asked.isdecimal():
        return float(asked)
    limited = response.code == HTTPStatus.TOO_MANY_REQUESTS or _is_rate_limit(response)
    return _seconds_until_reset(response.headers, _MINUTE if limited else 0.0)


def _seconds_until_reset(headers: Mapping[str, str], default: float) -> float:
    """Tell when a spent limit is given anew, by the server's own clock."""
    if "0" not in (headers.get("x-ratelimit-remaining"), headers.get("ratelimit-remaining")):
        return default
    reset = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
    try:
        now = parsedate_to_datetime(headers.get("date", "")).timestamp()
        return max(0.0, float(reset) - now) + 1.0
    except ValueError:
        return default


_TIMEOUT: Final = (10.0, 30.0)
"""Seconds to connect, and seconds of silence before an answer is given up."""


@dataclass(frozen=True, slots=True)
class ForgeApi:
    """Which API, how to show who we are, and what to do about a refusal, by status code."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    advice: Mapping[int, str]


class _HeaderAuth(requests.auth.AuthBase):
    """Puts the credential in last, so that a ~/.netrc of the machine does not replace it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class ForgeClient:
    """Sends requests to one API; the credential goes nowhere else."""

    def __init__(self, api: ForgeApi) -> None:
        self._api = api
        self._session = requests.Session()
        self._session.auth = _HeaderAuth(api.headers)
        self._session.headers["User-Agent"] = f"reconcile/{__version__}"

    def send(
        self, operation: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Any:
        """Send a request to a path below the API's URL, or to a full URL of the same host.

        `operation` words it for errors. Gives the decoded answer, None where there is no content.
        """
        return _decode(operation, self._send_request(operation, method, path, body))

    def paginate(self, operation: str, path: str) -> Iterator[Any]:
        """Give the entries of all pages of a list, following the links between them."""
        seen: set[str] = set()
        where = path
        while where and where not in seen:
            seen.add(where)
            response = self._send_request(operation, "GET", where, None)
            page = _decode(operation, response)
            if not isinstance(page, list):
                raise CommentError(f"{operation}: the answer is no list; is the API's URL right?")
            yield from page
            where = response.links.get("next", {}).get("url", "")

    def _send_request(
        self, operation: str, method: str, path: str, body: Mapping[str, Any] | None
    ) -> requests.Response:
        url = self._resolve_url(operation, path)
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
            raise _build_connection_error(operation, url, error) from None
        if not response.ok or response.is_redirect:
            headers = {name.lower(): value for name, value in response.headers.items()}
            said = ForgeErrorResponse(operation, response.status_code, headers, response.content)
            raise build_comment_error(said, self._api.advice)
        return response

    def _resolve_url(self, operation: str, path: str) -> str:
        if "://" not in path:
            return self._api.url.rstrip("/") + path
        if urlsplit(path)[:2] != urlsplit(self._api.url)[:2]:
            raise CommentError(
                f"{operation}: the server leads to another host, {urlsplit(path).netloc}"
            )
        return path


def _build_connection_error(
    operation: str, url: str, error: requests.RequestException
) -> CommentError:
    host = urlsplit(url).netloc
    if isinstance(error, requests.exceptions.SSLError):
        return CommentError(
            f"{operation}: no trusted connection to {host}; if its certificate is of an authority of "
            "yours, name that authority's file in $REQUESTS_CA_BUNDLE"
        )
    if isinstance(error, requests.Timeout):
        return TransientCommentError(f"{operation}: no answer from {host} in time")
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return TransientCommentError(f"{operation}: no complete answer from {host}")
    return CommentError(f"{operation}: {host} cannot be asked: {type(error).__name__}")


def _decode(operation: str, response: requests.Response) -> Any:
    if not response.content:
        return None
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        raise TransientCommentError(f"{operation}: the answer is cut off or no JSON") from None
