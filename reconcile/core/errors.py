"""Everything that can go wrong, as types; the command line maps each to one exit code.

ReconcileError
├── SpecError            desired state is not usable; carries every reason with its place
├── PolicyError          a plan was refused as a whole
├── SourceError          the desired tree could not be read
└── ClusterError         the API server said no, or nothing
    ├── NotFoundError        the object, or its namespace or kind, is not there
    ├── ConflictError        somebody else changed or owns it: read again, plan again
    ├── InvalidError         the object was refused; carries the fields that were named
    ├── ForbiddenError       a right is missing, or the credentials are not accepted
    │   └── DeniedError          admission refused the object: no right would help
    └── UnavailableError     may pass by itself: the only kind that is retried
"""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One reason why desired state is not usable.

    `path` is relative to the desired tree (or names a template); `line` and `column` count from 1,
    and are 0 where a whole file is meant. `field` is dotted, empty for a whole document.
    """

    path: str
    line: int
    column: int
    field: str
    message: str

    def __str__(self) -> str:
        """Say it as `path:line:column: field: message`, leaving out what is not known."""
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        return ": ".join(part for part in (place, self.field, self.message) if part)


class ReconcileError(Exception):
    """The root of all errors that are ours: message first, never a secret in it."""


class SpecError(ReconcileError):
    """Desired state is not usable; `problems` holds every reason, in the order of the files."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class PolicyError(ReconcileError):
    """A plan was refused as a whole; the message has counts, limit and way out."""


class SourceError(ReconcileError):
    """The desired tree could not be read at all."""


class ClusterError(ReconcileError):
    """The API server refused a request or could not be asked; names the object and the verb."""


class NotFoundReason(Enum):
    """What it is that does not exist."""

    OBJECT = "the object does not exist"
    NAMESPACE = "the namespace does not exist"
    KIND = "the server does not serve this kind"


class NotFoundError(ClusterError):
    """The object, its namespace or its kind does not exist; `reason` tells which."""

    def __init__(self, message: str, reason: NotFoundReason = NotFoundReason.OBJECT) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FieldOwner:
    """One field that another manager owns, as the API server words it in a conflict."""

    manager: str
    field: str


class ConflictError(ClusterError):
    """Somebody else changed or owns what was to be written; `owners` where fields are named."""

    def __init__(self, message: str, owners: tuple[FieldOwner, ...] = ()) -> None:
        super().__init__(message)
        self.owners = owners


class InvalidError(ClusterError):
    """The API server refused the object (422); `fields` are the paths that its causes name."""

    def __init__(self, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class ForbiddenError(ClusterError):
    """A right is missing (403) or the credentials are not accepted (401).

    `verb` is the right that is missing, such as `list`; empty where none is named.
    """

    def __init__(self, message: str, verb: str = "") -> None:
        super().__init__(message)
        self.verb = verb


class AdmissionDeniedError(ForbiddenError):
    """Admission refused the object (403): a quota, a security level, an unknown account."""


class UnavailableError(ClusterError):
    """Throttled, failing, slow or unreachable: may pass by itself.

    `retry_after` is the server's own wish in seconds, 0 where it has none.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
