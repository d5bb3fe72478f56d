"""Deletes objects and waits until they are gone, for at most their grace period and a margin."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconcile.core.changes import Delete, Hold, HoldReason, Outcome, Status
from reconcile.core.errors import ClusterError, NotFoundError
from reconcile.core.model import Kind, KubeObject, Manifest, ObjectRef
from reconcile.engine.ports import Clock, Cluster

_POLL_SECONDS: Final = 0.5
_MARGIN_SECONDS: Final = 30.0
"""How long a pod may take beyond its grace period: the kubelet's own cleanup."""

_FINALIZER_SECONDS: Final = 5.0
"""How long an unwanted object may take whose deletion waits for a finalizer."""


@dataclass(frozen=True, slots=True)
class PendingDeletion:
    """An object that is being deleted; once it is gone, `successor` is created, if there is one."""

    kind: Kind
    ref: ObjectRef
    uid: str
    outcome: Outcome
    successor: Manifest | None = None

    @property
    def margin(self) -> float:
        """How long it may take beyond its grace period, in seconds."""
        is_slow = self.kind.name == "Pod" or self.successor is not None
        return _MARGIN_SECONDS if is_slow else _FINALIZER_SECONDS


@dataclass(frozen=True, slots=True)
class Deletions:
    """Deletes the objects of one session; `see` gets each state of an object that is waited for."""

    cluster: Cluster
    clock: Clock
    see: Callable[[KubeObject], None]

    def begin(self, deletion: PendingDeletion) -> tuple[str, ...] | None:
        """Begin to delete an object; returns its finalizers, or None if it is gone already."""
        try:
            return self.cluster.delete(deletion.kind, deletion.ref, deletion.uid)
        except NotFoundError:
            return None

    def wait_until_gone(
        self, deletion: PendingDeletion
    ) -> Generator[float, None, KubeObject | None]:
        """Wait until an object is gone; returns it if it is still there after its time."""
        limit = 0.0
        while (live := self.get_if_same(deletion.kind, deletion.ref, deletion.uid)) is not None:
            self.see(live)
            now = self.clock.monotonic()
            limit = limit or now + _grace_seconds(live) + deletion.margin
            if now >= limit:
                return live
            yield _POLL_SECONDS
        return None

    def get_if_same(self, kind: Kind, ref: ObjectRef, uid: str) -> KubeObject | None:
        """Read an object; None if it is gone, or another one has its name."""
        try:
            live = self.cluster.get(kind, ref.namespace, ref.name)
        except NotFoundError:
            return None
        return live if live["metadata"]["uid"] == uid else None


def give_up(deletion: PendingDeletion, live: KubeObject) -> Outcome:
    """Give the outcome of a deletion that takes too long: held if only finalizers keep the object.

    ClusterError for a pod, which may still run, and for an object that is to be replaced.
    """
    change = deletion.outcome.change
    names = ", ".join(live["metadata"].get("finalizers") or ())
    waits = f": it waits for {names}" if names else ""
    if isinstance(change, Delete) and names and change.kind.name != "Pod":
        return Outcome(Hold(change, HoldReason.FINALIZER), Status.HELD, f"waits for {names}")
    raise ClusterError(
        f"{deletion.ref} is still ending{waits}; the next pass continues when it is gone"
    )


def _grace_seconds(live: KubeObject) -> float:
    metadata: Mapping[str, Any] = live["metadata"]
    return float(metadata.get("deletionGracePeriodSeconds") or 0)
