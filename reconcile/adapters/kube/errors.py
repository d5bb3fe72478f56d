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
    Absence,
    ClusterError,
    ConflictError,
    DeniedError,
    FieldOwner,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)

Mask: TypeAlias = Callable[[str], str]
"""Takes the secrets out of a text."""

SERVER_TEXT: Final = 500
"""Characters of the server's own words; its causes come first, long lists of values after."""

UNKNOWN_TEXT: Final = 256
"""Characters of text whose form nobody vouches for, such as a proxy's HTML page."""


def quoted(text: str, mask: Mask, limit: int = UNKNOWN_TEXT) -> str:
    """Make a foreign text fit for a message.

    Masked before it is cut: a pattern would not know the first half of a secret.
    """
    printable = "".join(char if char.isprintable() else " " for char in mask(text))
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request; `received` is the time of day in seconds since 1970."""

    code: int
    headers: Mapping[str, str]
    body: bytes
    received: float

    @property
    def succeeded(self) -> bool:
        """Whether the code is one of the 200s."""
        return HTTPStatus.OK <= self.code < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of a Status's `details.causes`."""

    reason: str
    message: str
    field: str


@dataclass(frozen=True, slots=True)
class Status:
    """The API server's own account of a failure.

    `subject` is the name of the object that it is about, `kind` that object's plural; both are
    empty where it is about no object.
    """

    reason: str
    message: str
    subject: str = ""
    kind: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after: float = 0.0


def parse(body: bytes) -> Status | None:
    """Read a Status, whatever content type it came with; None for anything else."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(content, dict) or content.get("kind") != "Status":
        return None
    details = _mapping(content.get("details"))
    seconds = details.get("retryAfterSeconds")
    return Status(
        reason=_str(content.get("reason")),
        message=_str(content.get("message")),
        subject=_str(details.get("name")),
        kind=_str(details.get("kind")),
        causes=_causes(details.get("causes")),
        retry_after=float(seconds) if isinstance(seconds, int) and seconds > 0 else 0.0,
    )


def _causes(entries: object) -> tuple[Cause, ...]:
    listed = entries if isinstance(entries, list) else ()
    return tuple(
        Cause(_str(entry.get("reason")), _str(entry.get("message")), _str(entry.get("field")))
        for entry in map(_mapping, listed)
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


def retry_after(answer: Answer, status: Status | None) -> float:
    """Read the server's wish in seconds: a number or a date in the header, or in the Status."""
    wish = answer.headers.get("Retry-After", "").strip()
    if wish.isascii() and wish.isdigit():
        return float(wish)
    try:
        seconds = parsedate_to_datetime(wish).timestamp() - answer.received
    except (ValueError, OverflowError):
        return status.retry_after if status else 0.0
    return max(0.0, seconds)


_VALUE: Final = re.compile(r", got &.*")
_UNTYPED: Final = ("failed to create typed patch object", "failed to convert new object")
# All that a server says of a JSON Patch whose `test` fails or whose path is not there.
_UNFIT: Final = "the server rejected our request due to an error in our request"
_NO_SIDECARS: Final = re.compile(
    r"initContainers\[[^\]]*\]\.restartPolicy: field not declared in schema"
)
"""What a server says of a native sidecar that is older than they are."""

_OWNER: Final = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')
_RIGHT: Final = re.compile(r"\bcannot ([a-z]+) (?:resource|path) ")
"""How the server words a right that is missing, whatever authorizer it asks."""

_NO_REASON: Final = re.compile(r"is forbidden:\s*(?:RBAC: .*)?$", re.DOTALL)
"""All that it says where an apply may patch, but not create what is not there."""

_PRECONDITIONS: Final = frozenset({"metadata.uid", "metadata.resourceVersion"})
_NO_ROUTE: Final = "404 page not found"
_PASSING: Final = frozenset({HTTPStatus.GONE, HTTPStatus.TOO_MANY_REQUESTS})


def refusal(doing: str, answer: Answer, mask: Mask) -> ClusterError:
    """Word an answer that is no success, and choose the error by its code.

    Args:
        doing: Verb and object, such as `apply Pod team-a/fix-login-runner`.
        answer: With any content type: not every error is labelled as the JSON that it is.
        mask: Every foreign text passes through it, since a server quotes the values it refuses.
    """
    status = parse(answer.body)
    return _error(_message(doing, answer, status, mask), answer, status)


def _error(message: str, answer: Answer, status: Status | None) -> ClusterError:
    # A body unlike the kind's schema is a 500, but it comes back for ever.
    untyped = status is not None and any(text in status.message for text in _UNTYPED)
    code = HTTPStatus.UNPROCESSABLE_ENTITY if untyped else answer.code
    if code in _PASSING or code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnavailableError(message, retry_after(answer, status))
    match code:
        case 401 | 403:
            return _forbidden(message, status)
        case 404 if status or _text(answer) == _NO_ROUTE:
            return NotFoundError(message, _absence(status))
        case 409:
            return ConflictError(message, _owners(status.causes if status else ()))
        case 422:
            return _unprocessable(message, status)
        case _:
            return ClusterError(message)


def _forbidden(message: str, status: Status | None) -> ForbiddenError:
    """Tell a right that is missing from an object that admission does not let in."""
    if status is None or status.reason != "Forbidden":
        return ForbiddenError(message)
    if _NO_REASON.search(status.message):
        return ForbiddenError(message, "create")
    right = _RIGHT.search(status.message)
    return ForbiddenError(message, right[1]) if right else DeniedError(message)


def _absence(status: Status | None) -> Absence:
    if status is None or not status.subject:
        return Absence.KIND
    return Absence.NAMESPACE if status.kind == "namespaces" else Absence.OBJECT


def _unprocessable(message: str, status: Status | None) -> ClusterError:
    """Tell what another writer brought about from an object that can never be accepted."""
    if status and status.message == _UNFIT:
        return ConflictError(f"{message}: the patch does not fit the object as it now is")
    fields = tuple(cause.field for cause in (status.causes if status else ()) if cause.field)
    if not _PRECONDITIONS.isdisjoint(fields):
        return ConflictError(message)
    return InvalidError(message, fields)


def _message(doing: str, answer: Answer, status: Status | None, mask: Mask) -> str:
    head = f"{doing}: {answer.code} {_reason(answer.code, status)}"
    words = (
        quoted(_without_values(status.message), mask, SERVER_TEXT)
        if status
        else quoted(_text(answer), mask)
    )
    return ": ".join(part for part in (head, words, _hint(answer, status)) if part)


def _without_values(message: str) -> str:
    """Drop what only quotes the object: a Go value, and a dump of a whole spec after the reason."""
    first, _, rest = _VALUE.sub("", message).partition("\n")
    return f"{first} {rest}" if first.endswith(":") else first


def _reason(code: int, status: Status | None) -> str:
    if status and status.reason:
        return quoted(status.reason, str)
    known = code in HTTPStatus.__members__.values()
    return HTTPStatus(code).phrase if known else "(unknown code)"


def _hint(answer: Answer, status: Status | None) -> str:
    match answer.code:
        case 401:
            return "the credentials are not accepted; log in again or choose another context"
        case 403 if status and _NO_REASON.search(status.message):
            return f'cannot create resource "{status.kind}", as an apply of a new object must'
        case 404 if status is None or not status.subject:
            return "the server does not serve this kind at this address"
        case code if HTTPStatus.MULTIPLE_CHOICES <= code < HTTPStatus.BAD_REQUEST:
            return "a redirect is not followed; the kubeconfig must name the API server itself"
        case 500 if status and _NO_SIDECARS.search(status.message):
            return "it has no native sidecars: set `capabilities.sidecar: plain` in defaults.yaml"
        case _:
            return ""


def _text(answer: Answer) -> str:
    return answer.body[: 4 * UNKNOWN_TEXT].decode("utf-8", "replace").strip()


def _owners(causes: tuple[Cause, ...]) -> tuple[FieldOwner, ...]:
    conflicts = (cause for cause in causes if cause.reason == "FieldManagerConflict")
    return tuple(FieldOwner(_manager(cause.message), cause.field) for cause in conflicts)


def _manager(message: str) -> str:
    found = _OWNER.search(message)
    return found.group(1).replace('\\"', '"') if found else "unknown"


_PASSING_ERRORS: Final = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.HTTPError,
)
_WRONG_PROTOCOL: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST"})
_DEPTH: Final = 8


def failure(
    doing: str,
    server: str,
    error: requests.RequestException | urllib3.exceptions.HTTPError,
    mask: Mask,
) -> ClusterError:
    """Word a request that brought no answer.

    A certificate that cannot be verified and a wrong protocol stay as they are until somebody acts;
    they are plain ClusterErrors. What requests itself refuses to send is one, too.
    """
    chain = tuple(_chain(error))
    head = f"{doing}: {server}"
    for link in chain:
        if isinstance(link, ssl.SSLCertVerificationError):
            return ClusterError(f"{head}: {_certificate(link, mask)}")
        if isinstance(link, ssl.SSLError) and link.reason in _WRONG_PROTOCOL:
            return ClusterError(
                f"{head}: this is no HTTPS server; is the URL http:// or the port wrong?"
            )
    words = f"{head}: {_kind(error)}: {quoted(_innermost(chain), mask)}"
    return UnavailableError(words) if isinstance(error, _PASSING_ERRORS) else ClusterError(words)


def _certificate(error: ssl.SSLCertVerificationError, mask: Mask) -> str:
    return (
        f"the server's certificate is not trusted ({quoted(error.verify_message, mask)}); check "
        "certificate-authority, certificate-authority-data and tls-server-name in the kubeconfig"
    )


def _kind(error: BaseException) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return "no complete answer" if isinstance(error, _PASSING_ERRORS) else "cannot be asked"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Follow an error inwards: urllib3 puts the reason into attributes and arguments."""
    link: BaseException | None = error
    for _ in range(_DEPTH):
        if link is None:
            return
        yield link
        link = _inner(link)


def _inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    candidates = (reason, *error.args, error.__cause__, error.__context__)
    return next((one for one in candidates if isinstance(one, BaseException)), None)


def _innermost(chain: tuple[BaseException, ...]) -> str:
    """Find the innermost text; a bare class name is better than nothing."""
    texts = (str(link) for link in reversed(chain))
    return next((text for text in texts if text), type(chain[0]).__name__)
