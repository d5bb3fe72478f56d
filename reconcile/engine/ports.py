"""The doors to the outside as the engine sees them; every adapter passes one contract suite."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from reconcile.core.model import Kind, KubeObject, ObjectRef


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How a server-side apply is made.

    `manager` owns what is declared. `force` takes fields over from other managers; without it a
    field that another one owns with another value is a ConflictError. `dry_run` changes nothing.
    """

    manager: str
    force: bool = False
    dry_run: bool = False


class Cluster(Protocol):
    """A Kubernetes API server, as far as we need one.

    Every method raises a ClusterError and nothing else: ForbiddenError for 401 and 403,
    UnavailableError for 429, 5xx, timeouts and broken connections, and what else it names itself.
    No method retries. All are safe to call from several threads.
    """

    def list(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Iterator[KubeObject]:
        """Yield the objects that carry all of `labels`, page by page, so that memory is bounded.

        Each object has its `apiVersion` and `kind`. A namespace or a kind that does not exist has
        none. Raises while iterating; a page that expired in between is UnavailableError.
        """
        ...

    def metadata(self, kind: Kind, namespace: str) -> Iterator[KubeObject]:
        """Yield `metadata` alone (in an object with `apiVersion` and `kind`) of every object."""
        ...

    def get(self, kind: Kind, namespace: str, name: str) -> KubeObject:
        """Read one object; NotFoundError where it is not there."""
        ...

    def apply(self, body: KubeObject, options: ApplyOptions) -> KubeObject:
        """Apply `body` on the server's side and return the object as it then is.

        Creates what is not there, unless `metadata.uid` or `metadata.resourceVersion` stand in
        `body`: those are preconditions, and another object or version is a ConflictError.
        ConflictError with `owners` where a field belongs to another manager; InvalidError where the
        object is refused; NotFoundError where the namespace or the kind is not there.
        """
        ...

    def delete(self, kind: Kind, ref: ObjectRef, uid: str) -> None:
        """Begin to delete exactly the object with this UID, after its own grace period.

        Returns as soon as the server has taken it: the object may go on to exist, with a
        `deletionTimestamp`. NotFoundError where it is gone; ConflictError where the name now
        belongs to another UID. Objects that it owns are left to garbage collection (background).
        """
        ...


class Clock(Protocol):
    """Time as the engine needs it, so that tests neither wait nor guess."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        ...

    def now(self) -> str:
        """The time of day in UTC as RFC 3339, to the second: `2026-01-31T12:00:00Z`."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, or less if the program is asked to end."""
        ...

    def jitter(self) -> float:
        """Draw a number from 0 up to 1, so that many programs do not retry in step."""
        ...


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file of the desired tree: `path` is relative with `/`; `digest` names the content.

    `problem` tells why the content could not be read (then `content` is empty): a link that leaves
    the tree, a file over the size limit, a right that is missing.
    """

    path: str
    digest: str
    content: bytes
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """Desired state as text: files in the order of their paths, and the commit they are from.

    `folders` are the first-level folders, empty ones included. `revision` is empty outside git,
    and ends in `-dirty` where the work tree differs from the commit.
    """

    revision: str
    folders: tuple[str, ...]
    files: tuple[TreeFile, ...]


class Source(Protocol):
    """Where desired state comes from."""

    def read(self) -> Tree:
        """Read all of it; SourceError where there is no tree to read."""
        ...
