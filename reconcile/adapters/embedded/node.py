"""A node that runs every pod: no images, no processes, only what a kubelet would report."""

import heapq
from collections.abc import Iterable
from typing import Final

from reconcile.adapters.embedded import kubelet
from reconcile.adapters.embedded.kinds import Served, served
from reconcile.adapters.embedded.managed import UPDATE, Who
from reconcile.adapters.embedded.saving import save
from reconcile.adapters.embedded.server_side_apply import updated
from reconcile.adapters.embedded.store import Entry, Json, Store
from reconcile.adapters.embedded.times import later
from reconcile.core.model import Kind, ObjectRef

_POD: Final = Kind("v1", "Pod")
_KUBELET: Final = Who("kubelet", UPDATE, "status")
_NEVER: Final = ""


class Node:
    """Moves pods on: from Pending to Running, by their deadline to Failed, from ended to gone.

    `exit_s` is how many seconds a pod takes to end when it is asked to, at most its grace period.
    """

    def __init__(self, exit_s: float = 0.0) -> None:
        self._exit_s = exit_s
        self._new: set[ObjectRef] = set()
        self._waiting: list[tuple[str, ObjectRef]] = []

    def notice(self, refs: Iterable[ObjectRef]) -> None:
        """Hear of objects that were created or changed."""
        self._new.update(ref for ref in refs if ref.kind == _POD.name and not ref.group)

    def is_due(self, time: str) -> bool:
        """Tell whether a step would have anything to look at."""
        return bool(self._new) or bool(self._waiting and self._waiting[0][0] <= time)

    def step(self, store: Store, time: str) -> None:
        """Do all that is due by now."""
        due, self._new = self._new, set()
        while self._waiting and self._waiting[0][0] <= time:
            due.add(heapq.heappop(self._waiting)[1])
        for ref in sorted(due):
            entry = store.find(ref)
            if entry is not None and (wake := self._move_on(store, entry, time)):
                heapq.heappush(self._waiting, (wake, ref))

    def _move_on(self, store: Store, entry: Entry, time: str) -> str:
        """Bring one pod to where it is by now; returns when to look at it next."""
        pod = entry.load()
        if "deletionTimestamp" in pod["metadata"]:
            return self._end(store, entry, pod, time)
        if pod["status"]["phase"] == "Pending":
            pod["spec"].setdefault("nodeName", kubelet.NODE)
            pod = report(store, pod, kubelet.running(pod, time), time)
        if pod["status"]["phase"] != "Running":
            return _NEVER
        deadline = _deadline(pod)
        if deadline and deadline <= time:
            report(store, pod, kubelet.overdue(pod, time), time)
            return _NEVER
        report(store, pod, kubelet.with_new_images(pod, time), time)
        return deadline

    def _end(self, store: Store, entry: Entry, pod: Json, time: str) -> str:
        metadata = pod["metadata"]
        grace = metadata.get("deletionGracePeriodSeconds", 0)
        end = later(metadata["deletionTimestamp"], min(self._exit_s, grace) - grace)
        if end > time:
            return end
        if metadata.get("finalizers"):
            return _NEVER
        store.remove(entry)
        return _NEVER


def report(store: Store, pod: Json, status: Json, time: str) -> Json:
    """Write a pod's status as its kubelet does."""
    kind: Served = served(_POD)
    new = updated(pod, {**pod, "status": status}, _KUBELET, kind.schema, time)
    old = store.find(ObjectRef("", "Pod", pod["metadata"]["namespace"], pod["metadata"]["name"]))
    return save(store, kind, old.load() if old else None, new)


def _deadline(pod: Json) -> str:
    seconds = pod["spec"].get("activeDeadlineSeconds")
    return _NEVER if seconds is None else later(pod["status"]["startTime"], seconds)
