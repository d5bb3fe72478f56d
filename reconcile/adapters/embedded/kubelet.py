"""A pod's status as a kubelet would write it: each function gives the next one.

A node that runs every pod: no images, no processes, only what a kubelet would report.
"""

import heapq
from collections.abc import Iterable
from typing import Any, Final

from reconcile.adapters.embedded.kinds import Served, served
from reconcile.adapters.embedded.managed_fields import UPDATE, Who
from reconcile.adapters.embedded.server_side_apply import updated
from reconcile.adapters.embedded.storage import Entry, Json, Store, save
from reconcile.core.defaulting import containers_of
from reconcile.core.model import Kind, ObjectRef
from reconcile.runtime.clock import later

_READY: Final = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
_STATUSES: Final = frozenset({"containerStatuses", "initContainerStatuses"})
NODE: Final = "embedded"


def running(pod: Json, time: str) -> Json:
    """All containers run and are ready; init containers that end have ended."""
    spec, status = pod["spec"], pod["status"]
    number = int(pod["metadata"]["resourceVersion"])
    address = f"10.244.{number // 256 % 256}.{number % 256}"
    started = {
        **status,
        "phase": "Running",
        "conditions": _conditions(time, ended=False),
        "hostIP": "192.0.2.1",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": time,
        "containerStatuses": [_container(each, _runs(time)) for each in spec["containers"]],
    }
    if spec.get("initContainers"):
        started["initContainerStatuses"] = [_initial(each, time) for each in spec["initContainers"]]
    return started


def with_new_images(pod: Json, time: str) -> Json:
    """Containers whose image is another one than what runs start again; the rest stays."""
    status = dict(pod["status"])
    images = {each["name"]: each["image"] for each in containers_of(pod["spec"])}
    for field in _STATUSES & status.keys():
        status[field] = [
            _again(each, images[each["name"]], time)
            if "running" in each["state"] and images[each["name"]] != each["image"]
            else each
            for each in status[field]
        ]
    return status


def ended(pod: Json, exit_code: int, time: str) -> Json:
    """All containers have ended by themselves; the restart policy says whether they start again."""
    policy = pod["spec"]["restartPolicy"]
    if policy == "Always" or (policy == "OnFailure" and exit_code):
        statuses = pod["status"]["containerStatuses"]
        again = [_again(each, each["image"], time, exit_code) for each in statuses]
        return {**pod["status"], "containerStatuses": again}
    return _over(pod, "Failed" if exit_code else "Succeeded", exit_code, time)


def overdue(pod: Json, time: str) -> Json:
    """The pod has lived for longer than it may."""
    return {
        **_over(pod, "Failed", 137, time),
        "reason": "DeadlineExceeded",
        "message": "Pod was active on the node longer than the specified deadline",
    }


def _over(pod: Json, phase: str, exit_code: int, time: str) -> Json:
    """Native sidecars end after the others, and well."""
    codes = {"containerStatuses": exit_code, "initContainerStatuses": 0}
    return {
        **pod["status"],
        "phase": phase,
        "conditions": _conditions(time, ended=True),
        **{
            field: [_stopped(each, code, time) for each in pod["status"][field]]
            for field, code in codes.items()
            if field in pod["status"]
        },
    }


def _stopped(status: Json, exit_code: int, time: str) -> Json:
    if "terminated" in status["state"]:
        return status
    ended = _terminated(status, exit_code, time)
    return {**status, "ready": False, "started": False, "state": ended}


def _conditions(time: str, *, ended: bool) -> list[Json]:
    lost = {"Ready", "ContainersReady"} if ended else set()
    return [
        {
            "type": kind,
            "status": "False" if kind in lost else "True",
            **({"reason": "PodCompleted"} if kind in lost else {}),
            "lastTransitionTime": time,
        }
        for kind in _READY
    ]


def _container(container: Json, state: Json) -> Json:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": state,
        "lastState": {},
    }


def _initial(container: Json, time: str) -> Json:
    if container.get("restartPolicy") == "Always":
        return _container(container, _runs(time))
    status = _container(container, {})
    return {**status, "started": False, "state": _terminated(status, 0, time)}


def _again(status: Json, image: str, time: str, exit_code: int = 143) -> Json:
    return {
        **status,
        "image": image,
        "restartCount": status["restartCount"] + 1,
        "state": _runs(time),
        "lastState": _terminated(status, exit_code, time),
    }


def _runs(time: str) -> Json:
    return {"running": {"startedAt": time}}


def _terminated(status: Json, exit_code: int, time: str) -> Json:
    began: Any = status["state"].get("running", {}).get("startedAt", time)
    return {
        "terminated": {
            "exitCode": exit_code,
            "reason": "Error" if exit_code else "Completed",
            "startedAt": began,
            "finishedAt": time,
        }
    }


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
            pod["spec"].setdefault("nodeName", NODE)
            pod = report(store, pod, running(pod, time), time)
        if pod["status"]["phase"] != "Running":
            return _NEVER
        deadline = _deadline(pod)
        if deadline and deadline <= time:
            report(store, pod, overdue(pod, time), time)
            return _NEVER
        report(store, pod, with_new_images(pod, time), time)
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
