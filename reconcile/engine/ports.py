"""The ports of the engine: cluster, clock and source. Every adapter passes one contract suite."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from reconcile.core.model import Kind, KubeObject, ObjectRef


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """The options of a server-side apply.

    `manager` owns the declared fields. `force` takes fields over from other managers; without it,
    a field that another manager owns with another value is a ConflictError. `dry_run` changes
    nothing.
    """

    manager: str
    force: bool = False
    dry_run: bool = False


class Cluster(Protocol):
    """A Kubernetes API server, with the requests that a pass needs.

    Every method raises a ClusterError and nothing else: ForbiddenError for 401 and 403,
    UnavailableError for 429, 5xx, timeouts and broken connections, and those named at each method.
    No method retries. All are safe to call from several threads.
    """

    def list(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Iterator[KubeObject]:
        """Yield the objects that have all of `labels`, page by page, so that memory is bounded.

        Each object has its `apiVersion` and `kind`. A namespace or a kind that does not exist
        has none. Raises while iterating; a page token that has expired is UnavailableError.
        """
        ...

    def metadata(self, kind: Kind, namespace: str) -> Iterator[KubeObject]:
        """Yield every object with only `apiVersion`, `kind` and `metadata`."""
        ...

    def get(self, kind: Kind, namespace: str, name: str) -> KubeObject:
        """Read one object; NotFoundError if it does not exist."""
        ...

    def apply(self, body: KubeObject, options: ApplyOptions) -> KubeObject:
        """Apply `body` by server-side apply and return the resulting object.

        Creates an object that does not exist, unless `body` has `metadata.uid` or
        `metadata.resourceVersion`: those are preconditions, and another object or version is a
        ConflictError. ConflictError with `owners` if a field belongs to another manager;
        InvalidError if the object is refused; NotFoundError if the namespace or the kind does not
        exist.
        """
        ...

    def delete(self, kind: Kind, ref: ObjectRef, uid: str) -> tuple[str, ...]:
        """Begin to delete exactly the object with this UID, after its own grace period.

        Returns as soon as the server has accepted the request: the object may continue to exist,
        with a `deletionTimestamp`. Returns the finalizers that it waits for; without any it is gone
        or in its grace period. NotFoundError if it was gone before; ConflictError if the name has
        another UID. Objects that it owns are left to garbage collection (background).
        """
        ...


class Clock(Protocol):
    """The clock of the engine, so that tests do not wait."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        ...

    def now(self) -> str:
        """The time of day in UTC as RFC 3339, to the second: `2026-01-31T12:00:00Z`."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, or less if the program is requested to end."""
        ...

    def jitter(self) -> float:
        """Return a random number from 0 up to 1, so that programs do not retry at the same time."""
        ...


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file of the desired tree: `path` is relative with `/`; `digest` names the content.

    `problem` says why the content could not be read (then `content` is empty): a link that leaves
    the tree, a file over the size limit, a missing permission.
    """

    path: str
    digest: str
    content: bytes
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """Desired state as text: files sorted by path, and the commit they are from.

    `folders` are the first-level folders, including empty ones. `revision` is empty outside git,
    and ends in `-dirty` if the work tree differs from the commit.
    """

    revision: str
    folders: tuple[str, ...]
    files: tuple[TreeFile, ...]


class Source(Protocol):
    """The source of desired state."""

    def read(self) -> Tree:
        """Read the whole tree; SourceError if it cannot be read."""
        ...
