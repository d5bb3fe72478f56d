"""An API server's refusal -> one of our errors, with all that the answer's Status tells."""

import re
from http import HTTPStatus
from typing import Final

from reconcile.adapters.kube.status import Answer, Cause, Status, parse, retry_after
from reconcile.adapters.kube.wording import SERVER_TEXT, UNKNOWN_TEXT, Mask, quoted
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
