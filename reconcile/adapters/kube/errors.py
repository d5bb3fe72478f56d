"""An API server's refusal -> one of our errors, with all that the answer's Status tells.

How foreign text gets into a message: masked, on one line, without control characters, cut.

What an API server answers, and the Status object in which it accounts for a failure.

A request that brought no answer -> one of our errors; what may pass by itself is told apart.
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
"""Takes the secrets out of a text."""

MAX_SERVER_TEXT: Final = 500
"""Characters of the server's own words; its causes come first, long lists of values after."""

MAX_UNKNOWN_TEXT: Final = 256
"""Characters of text whose form nobody vouches for, such as a proxy's HTML page."""


def sanitize_text(text: str, mask: SecretMask, limit: int = MAX_UNKNOWN_TEXT) -> str:
    """Make a foreign text fit for a message.

    Masked before it is cut: a pattern would not know the first half of a secret.
    """
    printable = "".join(char if char.isprintable() else " " for char in mask(text))
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """What came back for one request; `received_at` is the time of day in seconds since 1970."""

    code: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float

    @property
    def is_success(self) -> bool:
        """Whether the code is one of the 200s."""
        return HTTPStatus.OK <= self.code < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True)
class StatusCause:
    """One entry of a Status's `details.causes`."""

    reason: str
    message: str
    field: str


@dataclass(frozen=True, slots=True)
class ApiStatus:
    """The API server's own account of a failure.

    `name` is the name of the object that it is about, `kind` that object's plural; both are
    empty where it is about no object.
    """

    reason: str
    message: str
    name: str = ""
    kind: str = ""
    causes: tuple[StatusCause, ...] = ()
    retry_after: float = 0.0


def parse_status(body: bytes) -> ApiStatus | None:
    """Read a Status, whatever content type it came with; None for anything else."""
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
    """Read the server's wish in seconds: a number or a date in the header, or in the Status."""
    wish = response.headers.get("Retry-After", "").strip()
    if wish.isascii() and wish.isdigit():
        return float(wish)
    try:
        seconds = parsedate_to_datetime(wish).timestamp() - response.received_at
    except (ValueError, OverflowError):
        return status.retry_after if status else 0.0
    return max(0.0, seconds)


_GO_VALUE: Final = re.compile(r", got &.*")
_SCHEMA_MISMATCHES: Final = ("failed to create typed patch object", "failed to convert new object")
# All that a server says of a JSON Patch whose `test` fails or whose path is not there.
_PATCH_REJECTED: Final = "the server rejected our request due to an error in our request"
_NO_SIDECARS: Final = re.compile(
    r"initContainers\[[^\]]*\]\.restartPolicy: field not declared in schema"
)
"""What a server says of a native sidecar that is older than they are."""

_CONFLICTING_MANAGER: Final = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')
_MISSING_VERB: Final = re.compile(r"\bcannot ([a-z]+) (?:resource|path) ")
"""How the server words a right that is missing, whatever authorizer it asks."""

_NO_REASON: Final = re.compile(r"is forbidden:\s*(?:RBAC: .*)?$", re.DOTALL)
"""All that it says where an apply may patch, but not create what is not there."""

_PRECONDITIONS: Final = frozenset({"metadata.uid", "metadata.resourceVersion"})
_NO_ROUTE: Final = "404 page not found"
_RETRYABLE_CODES: Final = frozenset({HTTPStatus.GONE, HTTPStatus.TOO_MANY_REQUESTS})


def build_api_error(operation: str, response: ApiResponse, mask: SecretMask) -> ClusterError:
    """Word an answer that is no success, and choose the error by its code.

    Args:
        operation: Verb and object, such as `apply Pod team-a/fix-login-runner`.
        response: With any content type: not every error is labelled as the JSON that it is.
        mask: Every foreign text passes through it, since a server quotes the values it refuses.
    """
    status = parse_status(response.body)
    return _choose_error(_format_message(operation, response, status, mask), response, status)


def _choose_error(message: str, response: ApiResponse, status: ApiStatus | None) -> ClusterError:
    # A body unlike the kind's schema is a 500, but it comes back for ever.
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
    """Tell a right that is missing from an object that admission does not let in."""
    if status is None or status.reason != "Forbidden":
        return ForbiddenError(message)
    if _NO_REASON.search(status.message):
        return ForbiddenError(message, "create")
    right = _MISSING_VERB.search(status.message)
    return ForbiddenError(message, right[1]) if right else AdmissionDeniedError(message)


def _find_absence(status: ApiStatus | None) -> NotFoundReason:
    if status is None or not status.name:
        return NotFoundReason.KIND
    return NotFoundReason.NAMESPACE if status.kind == "namespaces" else NotFoundReason.OBJECT


def _unprocessable_error(message: str, status: ApiStatus | None) -> ClusterError:
    """Tell what another writer brought about from an object that can never be accepted."""
    if status and status.message == _PATCH_REJECTED:
        return ConflictError(f"{message}: the patch does not fit the object as it now is")
    fields = tuple(cause.field for cause in (status.causes if status else ()) if cause.field)
    if not _PRECONDITIONS.isdisjoint(fields):
        return ConflictError(message)
    return InvalidError(message, fields)


def _format_message(
    operation: str, response: ApiResponse, status: ApiStatus | None, mask: SecretMask
) -> str:
    head = f"{operation}: {response.code} {_format_reason(response.code, status)}"
    words = (
        sanitize_text(_without_values(status.message), mask, MAX_SERVER_TEXT)
        if status
        else sanitize_text(_decode_body(response), mask)
    )
    return ": ".join(part for part in (head, words, _find_hint(response, status)) if part)


def _without_values(message: str) -> str:
    """Drop what only quotes the object: a Go value, and a dump of a whole spec after the reason."""
    first, _, rest = _GO_VALUE.sub("", message).partition("\n")
    return f"{first} {rest}" if first.endswith(":") else first


def _format_reason(code: int, status: ApiStatus | None) -> str:
    if status and status.reason:
        return sanitize_text(status.reason, str)
    known = code in HTTPStatus.__members__.values()
    return HTTPStatus(code).phrase if known else "(unknown code)"


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
    found = _CONFLICTING_MANAGER.search(message)
    return found.group(1).replace('\\"', '"') if found else "unknown"


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
    """Word a request that brought no answer.

    A certificate that cannot be verified and a wrong protocol stay as they are until somebody acts;
    they are plain ClusterErrors. What requests itself refuses to send is one, too.
    """
    chain = tuple(_iterate_chain(error))
    head = f"{operation}: {server}"
    for link in chain:
        if isinstance(link, ssl.SSLCertVerificationError):
            return ClusterError(f"{head}: {_format_certificate_error(link, mask)}")
        if isinstance(link, ssl.SSLError) and link.reason in _WRONG_PROTOCOL:
            return ClusterError(
                f"{head}: this is no HTTPS server; is the URL http:// or the port wrong?"
            )
    words = (
        f"{head}: {_describe_failure(error)}: {sanitize_text(_find_innermost_text(chain), mask)}"
    )
    return UnavailableError(words) if isinstance(error, _RETRYABLE_ERRORS) else ClusterError(words)


def _format_certificate_error(error: ssl.SSLCertVerificationError, mask: SecretMask) -> str:
    return (
        f"the server's certificate is not trusted ({sanitize_text(error.verify_message, mask)}); check "
        "certificate-authority, certificate-authority-data and tls-server-name in the kubeconfig"
    )


def _describe_failure(error: BaseException) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return "no complete answer" if isinstance(error, _RETRYABLE_ERRORS) else "cannot be asked"


def _iterate_chain(error: BaseException) -> Iterator[BaseException]:
    """Follow an error inwards: urllib3 puts the reason into attributes and arguments."""
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
    """Find the innermost text; a bare class name is better than nothing."""
    texts = (str(link) for link in reversed(chain))
    return next((text for text in texts if text), type(chain[0]).__name__)
