"""Translates failed requests into our errors, with the details of the server's Status.

Temporary failures, with or without a response, are UnavailableErrors; others say what to do. Text
of the server is masked, put on one line without control characters, and truncated.
"""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import orjson
import requests
import urllib3

from reconcile.core.errors import (
    AdmissionDeniedError,
    ClusterError,
    ConflictError,
    FieldOwner,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    NotFoundReason,
    UnavailableError,
)

SecretMask: TypeAlias = Callable[[str], str]
"""Masks the secrets in a text."""

MAX_SERVER_TEXT: Final = 500
"""Maximum characters of a Status message; its causes come before long lists of values."""

MAX_UNKNOWN_TEXT: Final = 256
"""Maximum characters of other text, such as a proxy's HTML page."""


def sanitize_text(text: str, mask: SecretMask, limit: int = MAX_UNKNOWN_TEXT) -> str:
    """Make a text of the server safe for a message.

    It is masked before it is truncated: a pattern does not match the first half of a secret.
    """
    printable = "".join(char if char.isprintable() else " " for char in mask(text))
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """The response to a request; `received_at` is in seconds since 1970."""

    code: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float

    @property
    def is_success(self) -> bool:
        """Whether the code is 2xx."""
        return HTTPStatus.OK <= self.code < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True)
class StatusCause:
    """One entry of a Status's `details.causes`."""

    reason: str
    message: str
    field: str


@dataclass(frozen=True, slots=True)
class ApiStatus:
    """The `Status` object in which an API server describes a failure.

    `name` is the name of the object that it concerns, `kind` the plural of its kind; both are empty
    if it concerns no object.
    """

    reason: str
    message: str
    name: str = ""
    kind: str = ""
    causes: tuple[StatusCause, ...] = ()
    retry_after: float = 0.0


def parse_status(body: bytes) -> ApiStatus | None:
    """Read a Status, with any content type; None for any other body."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(content, dict) or content.get("kind") != "Status":
        return None
    details = _as_mapping(content.get("details"))
    seconds = details.get("retryAfterSeconds")
    return ApiStatus(
        reason=_as_text(content.get("reason")),
        message=_as_text(content.get("message")),
        name=_as_text(details.get("name")),
        kind=_as_text(details.get("kind")),
        causes=_parse_causes(details.get("causes")),
        retry_after=float(seconds) if isinstance(seconds, int) and seconds > 0 else 0.0,
    )


def _parse_causes(entries: object) -> tuple[StatusCause, ...]:
    listed = entries if isinstance(entries, list) else ()
    return tuple(
        StatusCause(
            _as_text(entry.get("reason")),
            _as_text(entry.get("message")),
            _as_text(entry.get("field")),
        )
        for entry in map(_as_mapping, listed)
    )


def _as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def parse_retry_after(response: ApiResponse, status: ApiStatus | None) -> float:
    """Return the server's Retry-After in seconds, from the header or from the Status."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - response.received_at
    except (ValueError, OverflowError):
        return status.retry_after if status else 0.0
    return max(0.0, seconds)


_GO_VALUE: Final = re.compile(r", got &.*")
_SCHEMA_MISMATCHES: Final = ("failed to create typed patch object", "failed to convert new object")
_NO_SIDECARS: Final = re.compile(
    r"initContainers\[[^\]]*\]\.restartPolicy: field not declared in schema"
)
"""The message for a native sidecar of a server that does not support them."""

_CONFLICTING_MANAGER: Final = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')
_MISSING_VERB: Final = re.compile(r"\bcannot ([a-z]+) (?:resource|path) ")
"""The message for a missing permission, with every authorizer."""

_DENIAL: Final = re.compile(
    r"""^admission webhook "[^"]*" denied the request|\bwith binding '[^']*' denied request"""
)
"""The message for a refusal by a webhook or by an admission policy, with any code and reason."""

_NO_REASON: Final = re.compile(r"is forbidden:\s*(?:RBAC: .*)?$", re.DOTALL)
"""The message if an apply may patch, but not create the missing object."""

_PRECONDITIONS: Final = frozenset({"metadata.uid", "metadata.resourceVersion"})
_NO_ROUTE: Final = "404 page not found"
_RETRYABLE_CODES: Final = frozenset({HTTPStatus.GONE, HTTPStatus.TOO_MANY_REQUESTS})


def build_api_error(operation: str, response: ApiResponse, mask: SecretMask) -> ClusterError:
    """Make the error for an unsuccessful response, chosen by its code.

    Args:
        operation: Verb and object, such as `apply Pod team-a/fix-login-runner`.
        response: The response, with any content type: some JSON errors are not labelled as JSON.
        mask: Applied to every text of the server, which quotes the values that it refuses.
    """
    status = parse_status(response.body)
    message = _format_message(operation, response, status, mask)
    if _is_denial(response, status):
        return AdmissionDeniedError(message)
    return _choose_error(message, response, status)


def _is_denial(response: ApiResponse, status: ApiStatus | None) -> bool:
    """Whether a webhook or a policy refused the object; one that failed may accept it later."""
    if status is None or response.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return False
    return response.code not in _RETRYABLE_CODES and bool(_DENIAL.search(status.message))


def _choose_error(message: str, response: ApiResponse, status: ApiStatus | None) -> ClusterError:
    # A body that does not match the schema is a 500, but a retry does not help.
    untyped = status is not None and any(text in status.message for text in _SCHEMA_MISMATCHES)
    code = HTTPStatus.UNPROCESSABLE_ENTITY if untyped else response.code
    if code in _RETRYABLE_CODES or code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnavailableError(message, parse_retry_after(response, status))
    match code:
        case 401 | 403:
            return _forbidden_error(message, status)
        case 404 if status or _decode_body(response) == _NO_ROUTE:
            return NotFoundError(message, _find_absence(status))
        case 409:
            return ConflictError(message, _find_conflicts(status.causes if status else ()))
        case 422:
            return _unprocessable_error(message, status)
        case _:
            return ClusterError(message)


def _forbidden_error(message: str, status: ApiStatus | None) -> ForbiddenError:
    """Distinguish a missing permission from an object that admission denies."""
    if status is None or status.reason != "Forbidden":
        return ForbiddenError(message)
    if _NO_REASON.search(status.message):
        return ForbiddenError(message, "create")
    verb = _MISSING_VERB.search(status.message)
    return ForbiddenError(message, verb[1]) if verb else AdmissionDeniedError(message)


def _find_absence(status: ApiStatus | None) -> NotFoundReason:
    if status is None or not status.name:
        return NotFoundReason.KIND
    return NotFoundReason.NAMESPACE if status.kind == "namespaces" else NotFoundReason.OBJECT


def _unprocessable_error(message: str, status: ApiStatus | None) -> ClusterError:
    """Distinguish a conflict with another writer from an invalid object."""
    fields = tuple(cause.field for cause in (status.causes if status else ()) if cause.field)
    if not _PRECONDITIONS.isdisjoint(fields):
        return ConflictError(message)
    return InvalidError(message, fields)


def _format_message(
    operation: str, response: ApiResponse, status: ApiStatus | None, mask: SecretMask
) -> str:
    head = f"{operation}: {response.code} {_format_reason(response.code, status, mask)}"
    text = (
        sanitize_text(_without_values(status.message), mask, MAX_SERVER_TEXT)
        if status
        else sanitize_text(_decode_body(response), mask)
    )
    hint = "" if _is_denial(response, status) else _find_hint(response, status)
    return ": ".join(part for part in (head, text, hint) if part)


def _without_values(message: str) -> str:
    """Remove quotes of the object: a Go value, and the dump of a whole spec after the reason."""
    first, _, rest = _GO_VALUE.sub("", message).partition("\n")
    return f"{first} {rest}" if first.endswith(":") else first


def _format_reason(code: int, status: ApiStatus | None, mask: SecretMask) -> str:
    if status and status.reason:
        # A webhook may give a text of its own.
        return sanitize_text(status.reason, mask)
    is_standard = code in HTTPStatus.__members__.values()
    return HTTPStatus(code).phrase if is_standard else "(unknown code)"


def _find_hint(response: ApiResponse, status: ApiStatus | None) -> str:
    match response.code:
        case 401:
            return "the credentials are not accepted; log in again or choose another context"
        case 403 if status and _NO_REASON.search(status.message):
            return f'cannot create resource "{status.kind}", as an apply of a new object must'
        case 404 if status is None or not status.name:
            return "the server does not serve this kind at this address"
        case code if HTTPStatus.MULTIPLE_CHOICES <= code < HTTPStatus.BAD_REQUEST:
            return "a redirect is not followed; the kubeconfig must name the API server itself"
        case 500 if status and _NO_SIDECARS.search(status.message):
            return "it has no native sidecars: set `capabilities.sidecar: plain` in defaults.yaml"
        case _:
            return ""


def _decode_body(response: ApiResponse) -> str:
    return response.body[: 4 * MAX_UNKNOWN_TEXT].decode("utf-8", "replace").strip()


def _find_conflicts(causes: tuple[StatusCause, ...]) -> tuple[FieldOwner, ...]:
    conflicts = (cause for cause in causes if cause.reason == "FieldManagerConflict")
    return tuple(FieldOwner(_parse_manager(cause.message), cause.field) for cause in conflicts)


def _parse_manager(message: str) -> str:
    match = _CONFLICTING_MANAGER.search(message)
    return match.group(1).replace('\\"', '"') if match else "unknown"


_RETRYABLE_ERRORS: Final = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.HTTPError,
)
_WRONG_PROTOCOL: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST"})
_MAX_CHAIN_DEPTH: Final = 8


def build_connection_error(
    operation: str,
    server: str,
    error: requests.RequestException | urllib3.exceptions.HTTPError,
    mask: SecretMask,
) -> ClusterError:
    """Make the error for a request without a response.

    An untrusted certificate and a wrong protocol do not pass by themselves: they are ClusterErrors,
    and so is a request that the library refuses to send. Other failures are UnavailableErrors.
    """
    chain = tuple(_iterate_chain(error))
    head = f"{operation}: {server}"
    for link in chain:
        if isinstance(link, ssl.SSLCertVerificationError):
            return ClusterError(f"{head}: {_format_certificate_error(link, mask)}")
        if isinstance(link, ssl.SSLError) and link.reason in _WRONG_PROTOCOL:
            return ClusterError(
                f"{head}: this is not an HTTPS server; check the scheme and the port of the URL"
            )
    message = (
        f"{head}: {_describe_failure(error)}: {sanitize_text(_find_innermost_text(chain), mask)}"
    )
    return (
        UnavailableError(message) if isinstance(error, _RETRYABLE_ERRORS) else ClusterError(message)
    )


def _format_certificate_error(error: ssl.SSLCertVerificationError, mask: SecretMask) -> str:
    reason = sanitize_text(error.verify_message, mask)
    return (
        f"the server's certificate is not trusted ({reason}); check certificate-authority, "
        "certificate-authority-data and tls-server-name in the kubeconfig"
    )


def _describe_failure(error: BaseException) -> str:
    if isinstance(error, requests.Timeout):
        return "no response in time"
    return "no complete response" if isinstance(error, _RETRYABLE_ERRORS) else "the request failed"


def _iterate_chain(error: BaseException) -> Iterator[BaseException]:
    """Follow the causes of an error, which urllib3 puts into attributes and arguments."""
    link: BaseException | None = error
    for _ in range(_MAX_CHAIN_DEPTH):
        if link is None:
            return
        yield link
        link = _find_inner(link)


def _find_inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    candidates = (reason, *error.args, error.__cause__, error.__context__)
    return next((one for one in candidates if isinstance(one, BaseException)), None)


def _find_innermost_text(chain: tuple[BaseException, ...]) -> str:
    """Return the innermost message, or the name of the class if there is none."""
    texts = (str(link) for link in reversed(chain))
    return next((text for text in texts if text), type(chain[0]).__name__)
