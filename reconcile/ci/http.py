"""Requests to the API of a forge; every failure becomes a `CommentError` that says what to do.

Nothing is retried here.
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
    """An unsuccessful response; header names are in lower case."""

    operation: str
    code: int
    headers: Mapping[str, str]
    body: bytes


def build_comment_error(response: ForgeErrorResponse, advice: Mapping[int, str]) -> CommentError:
    """Make the error for a response; `advice` says for a status code what the user can do."""
    message = f"{response.operation}: {response.code} {_quote_message(response.body)}".rstrip()
    if response.code in _RETRYABLE_CODES or _is_rate_limit(response):
        return TransientCommentError(message, _find_retry_after(response))
    parts = (message, advice.get(response.code, ""))
    text = "; ".join(part for part in parts if part)
    return _ERROR_CLASSES.get(response.code, CommentError)(text)


def _quote_message(body: bytes) -> str:
    """Quote the server on one line: a `message`, which may be nested on GitLab."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(document, dict):
        return ""
    message = document.get("message", document.get("error", ""))
    text = message if isinstance(message, str) else orjson.dumps(message).decode()
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _MAX_QUOTE else line[: _MAX_QUOTE - 1] + "…"


def _is_rate_limit(response: ForgeErrorResponse) -> bool:
    """Distinguish a rate limit from a missing permission: GitHub responds with 403 to both.

    Source: docs.github.com, "Rate limits for the REST API", "Exceeding the rate limit".
    """
    if response.code not in _RATE_LIMIT_CODES:
        return False
    headers = response.headers
    is_used_up = headers.get("x-ratelimit-remaining") == "0"
    return "retry-after" in headers or is_used_up or b"rate limit" in response.body.lower()


def _find_retry_after(response: ForgeErrorResponse) -> float:
    """Return the seconds until a retry is allowed; a minute for a rate limit without a time."""
    requested = response.headers.get("retry-after", "")
    if requested.isdecimal():
        return float(requested)
    limited = response.code == HTTPStatus.TOO_MANY_REQUESTS or _is_rate_limit(response)
    return _seconds_until_reset(response.headers, _MINUTE if limited else 0.0)


def _seconds_until_reset(headers: Mapping[str, str], default: float) -> float:
    """Return the seconds until a used-up rate limit is reset, by the server's clock."""
    if "0" not in (headers.get("x-ratelimit-remaining"), headers.get("ratelimit-remaining")):
        return default
    reset = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
    try:
        now = parsedate_to_datetime(headers.get("date", "")).timestamp()
        return max(0.0, float(reset) - now) + 1.0
    except ValueError:
        return default


_TIMEOUT: Final = (10.0, 30.0)
"""Seconds to connect, and seconds without data until a response is given up."""


@dataclass(frozen=True, slots=True)
class ForgeApi:
    """An API: its URL, the headers with the credential, and advice by status code."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    advice: Mapping[int, str]


class _HeaderAuth(requests.auth.AuthBase):
    """Sets the credential last, so that the machine's ~/.netrc does not replace it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class ForgeClient:
    """Sends requests to one API; the credential is sent to no other host."""

    def __init__(self, api: ForgeApi) -> None:
        self._api = api
        self._session = requests.Session()
        self._session.auth = _HeaderAuth(api.headers)
        self._session.headers["User-Agent"] = f"reconcile/{__version__}"

    def send(
        self, operation: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Any:
        """Send a request to a path below the API's URL, or to a full URL of the same host.

        `operation` describes it in errors. Returns the decoded response, None if it is empty.
        """
        return _decode(operation, self._send_request(operation, method, path, body))

    def paginate(self, operation: str, path: str) -> Iterator[Any]:
        """Yield the entries of all pages of a list; pages are found by their `next` links."""
        seen: set[str] = set()
        link = path
        while link and link not in seen:
            seen.add(link)
            response = self._send_request(operation, "GET", link, None)
            page = _decode(operation, response)
            if not isinstance(page, list):
                raise CommentError(
                    f"{operation}: the response is not a list; check the URL of the API"
                )
            yield from page
            link = response.links.get("next", {}).get("url", "")

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
            failed = ForgeErrorResponse(operation, response.status_code, headers, response.content)
            raise build_comment_error(failed, self._api.advice)
        return response

    def _resolve_url(self, operation: str, path: str) -> str:
        if "://" not in path:
            return self._api.url.rstrip("/") + path
        if urlsplit(path)[:2] != urlsplit(self._api.url)[:2]:
            raise CommentError(
                f"{operation}: the server links to another host, {urlsplit(path).netloc}"
            )
        return path


def _build_connection_error(
    operation: str, url: str, error: requests.RequestException
) -> CommentError:
    host = urlsplit(url).netloc
    if isinstance(error, requests.exceptions.SSLError):
        return CommentError(
            f"{operation}: the certificate of {host} is not trusted; if your own authority issued "
            "it, set $REQUESTS_CA_BUNDLE to the authority's file"
        )
    if isinstance(error, requests.Timeout):
        return TransientCommentError(f"{operation}: no response from {host} in time")
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return TransientCommentError(f"{operation}: no complete response from {host}")
    return CommentError(f"{operation}: the request to {host} failed: {type(error).__name__}")


def _decode(operation: str, response: requests.Response) -> Any:
    if not response.content:
        return None
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        raise TransientCommentError(f"{operation}: the response is truncated or not JSON") from None
