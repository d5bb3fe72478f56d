"""All errors as types; the command line maps each of them to one exit code.

ReconcileError
├── SpecError            desired state is unusable; has every reason with its position
├── PolicyError          a plan was refused as a whole
├── SourceError          the desired tree could not be read
└── ClusterError         the API server refused a request or did not answer
    ├── NotFoundError        the object, its namespace or its kind does not exist
    ├── ConflictError        another actor changed or owns it: read and plan again
    ├── InvalidError         the object was refused; has the fields that were named
    ├── ForbiddenError       a permission is missing, or the credentials are refused
    │   └── AdmissionDeniedError  admission refused the object: no permission would help
    └── UnavailableError     may be temporary: the only kind that is retried
"""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One reason why desired state is unusable.

    `path` is relative to the desired tree (or names a template); `line` and `column` count from 1,
    and are 0 for a whole file. `field` is dotted, empty for a whole document.
    """

    path: str
    line: int
    column: int
    field: str
    message: str

    def __str__(self) -> str:
        """Format it as `path:line:column: field: message`, without the parts that are unknown."""
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        return ": ".join(part for part in (place, self.field, self.message) if part)


class ReconcileError(Exception):
    """The base of all errors of this project; its message never has a secret."""


class SpecError(ReconcileError):
    """Desired state is unusable; `problems` holds every reason, in the order of the files."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class PolicyError(ReconcileError):
    """A plan was refused as a whole; the message has counts, the limit and what to do."""


class SourceError(ReconcileError):
    """The desired tree could not be read at all."""


class ClusterError(ReconcileError):
    """The API server refused a request or did not answer; names the object and the verb."""


class NotFoundReason(Enum):
    """What does not exist."""

    OBJECT = "the object does not exist"
    NAMESPACE = "the namespace does not exist"
    KIND = "the server does not serve this kind"


class NotFoundError(ClusterError):
    """The object, its namespace or its kind does not exist; `reason` says which."""

    def __init__(self, message: str, reason: NotFoundReason = NotFoundReason.OBJECT) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FieldOwner:
    """One field that another manager owns, as the API server words it in a conflict."""

    manager: str
    field: str


class ConflictError(ClusterError):
    """Another actor changed or owns the object or field; `owners` if fields are named."""

    def __init__(self, message: str, owners: tuple[FieldOwner, ...] = ()) -> None:
        super().__init__(message)
        self.owners = owners


class InvalidError(ClusterError):
    """The API server refused the object (422); `fields` are the paths that its causes name."""

    def __init__(self, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class ForbiddenError(ClusterError):
    """A permission is missing (403) or the credentials are refused (401).

    `verb` is the missing permission, such as `list`; empty if the server names none.
    """

    def __init__(self, message: str, verb: str = "") -> None:
        super().__init__(message)
        self.verb = verb


class AdmissionDeniedError(ForbiddenError):
    """Admission refused the object (403): a quota, a security level, an unknown account."""


class UnavailableError(ClusterError):
    """Throttled, failing, slow or unreachable: may be temporary.

    `retry_after` is the delay in seconds that the server requests, 0 if it requests none.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
