"""A kubelet that runs every pod without images or processes: it only updates their status.

The functions compute a pod's next status; `Kubelet` decides when.
"""

import heapq
from collections.abc import Iterable
from typing import Any, Final

from reconcile.adapters.embedded.kinds import ServedKind, find_served_kind
from reconcile.adapters.embedded.managed_fields import UPDATE, ManagerIdentifier
from reconcile.adapters.embedded.server_side_apply import record_update
from reconcile.adapters.embedded.storage import ClusterStore, JsonDict, StoredObject, save_object
from reconcile.core.defaulting import iter_containers
from reconcile.core.model import Kind, ObjectRef
from reconcile.runtime.clock import add_seconds

_CONDITION_TYPES: Final = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
_STATUS_FIELDS: Final = frozenset({"containerStatuses", "initContainerStatuses"})
NODE_NAME: Final = "embedded"


def running_status(pod: JsonDict, time: str) -> JsonDict:
    """Return the status of a pod whose containers are ready; its init containers have completed."""
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
        "containerStatuses": [
            _container_status(each, _running_state(time)) for each in spec["containers"]
        ],
    }
    if spec.get("initContainers"):
        started["initContainerStatuses"] = [
            _init_container_status(each, time) for each in spec["initContainers"]
        ]
    return started


def image_update_status(pod: JsonDict, time: str) -> JsonDict:
    """Restart the containers whose image has changed; keep the others."""
    status = dict(pod["status"])
    images = {each["name"]: each["image"] for each in iter_containers(pod["spec"])}
    for field in _STATUS_FIELDS & status.keys():
        status[field] = [
            _restarted_container_status(each, images[each["name"]], time)
            if "running" in each["state"] and images[each["name"]] != each["image"]
            else each
            for each in status[field]
        ]
    return status


def exited_status(pod: JsonDict, exit_code: int, time: str) -> JsonDict:
    """Return the status after all containers exited; the restart policy may restart them."""
    policy = pod["spec"]["restartPolicy"]
    if policy == "Always" or (policy == "OnFailure" and exit_code):
        statuses = pod["status"]["containerStatuses"]
        restarted = [
            _restarted_container_status(each, each["image"], time, exit_code) for each in statuses
        ]
        return {**pod["status"], "containerStatuses": restarted}
    return _finished_status(pod, "Failed" if exit_code else "Succeeded", exit_code, time)


def deadline_status(pod: JsonDict, time: str) -> JsonDict:
    """Return the status of a pod that has exceeded its deadline."""
    return {
        **_finished_status(pod, "Failed", 137, time),
        "reason": "DeadlineExceeded",
        "message": "Pod was active on the node longer than the specified deadline",
    }


def _finished_status(pod: JsonDict, phase: str, exit_code: int, time: str) -> JsonDict:
    """Return the status of an ended pod; native sidecars end last, with exit code 0."""
    codes = {"containerStatuses": exit_code, "initContainerStatuses": 0}
    return {
        **pod["status"],
        "phase": phase,
        "conditions": _conditions(time, ended=True),
        **{
            field: [_stopped_container_status(each, code, time) for each in pod["status"][field]]
            for field, code in codes.items()
            if field in pod["status"]
        },
    }


def _stopped_container_status(status: JsonDict, exit_code: int, time: str) -> JsonDict:
    if "terminated" in status["state"]:
        return status
    ended = _terminated_state(status, exit_code, time)
    return {**status, "ready": False, "started": False, "state": ended}


def _conditions(time: str, *, ended: bool) -> list[JsonDict]:
    lost = {"Ready", "ContainersReady"} if ended else set()
    return [
        {
            "type": kind,
            "status": "False" if kind in lost else "True",
            **({"reason": "PodCompleted"} if kind in lost else {}),
            "lastTransitionTime": time,
        }
        for kind in _CONDITION_TYPES
    ]


def _container_status(container: JsonDict, state: JsonDict) -> JsonDict:
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


def _init_container_status(container: JsonDict, time: str) -> JsonDict:
    if container.get("restartPolicy") == "Always":
        return _container_status(container, _running_state(time))
    status = _container_status(container, {})
    return {**status, "started": False, "state": _terminated_state(status, 0, time)}


def _restarted_container_status(
    status: JsonDict, image: str, time: str, exit_code: int = 143
) -> JsonDict:
    return {
        **status,
        "image": image,
        "restartCount": status["restartCount"] + 1,
        "state": _running_state(time),
        "lastState": _terminated_state(status, exit_code, time),
    }


def _running_state(time: str) -> JsonDict:
    return {"running": {"startedAt": time}}


def _terminated_state(status: JsonDict, exit_code: int, time: str) -> JsonDict:
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
_KUBELET_MANAGER: Final = ManagerIdentifier("kubelet", UPDATE, "status")
_NEVER: Final = ""


class Kubelet:
    """Moves pods from Pending to Running, to Failed after their deadline, and removes deleted ones.

    `exit_seconds` is how long a deleted pod takes to end, at most its grace period.
    """

    def __init__(self, exit_seconds: float = 0.0) -> None:
        self._exit_seconds = exit_seconds
        self._dirty: set[ObjectRef] = set()
        self._waiting: list[tuple[str, ObjectRef]] = []

    def enqueue(self, refs: Iterable[ObjectRef]) -> None:
        """Add objects that were created or changed."""
        self._dirty.update(ref for ref in refs if ref.kind == _POD.name and not ref.group)

    def is_due(self, time: str) -> bool:
        """Return whether `sync_pods` has anything to do."""
        return bool(self._dirty) or bool(self._waiting and self._waiting[0][0] <= time)

    def sync_pods(self, store: ClusterStore, time: str) -> None:
        """Update all pods that are due."""
        due, self._dirty = self._dirty, set()
        while self._waiting and self._waiting[0][0] <= time:
            due.add(heapq.heappop(self._waiting)[1])
        for ref in sorted(due):
            entry = store.find(ref)
            if entry is not None and (wake := self._sync_pod(store, entry, time)):
                heapq.heappush(self._waiting, (wake, ref))

    def _sync_pod(self, store: ClusterStore, entry: StoredObject, time: str) -> str:
        """Update one pod; returns the time of its next update."""
        pod = entry.load()
        if "deletionTimestamp" in pod["metadata"]:
            return self._terminate_pod(store, entry, pod, time)
        if pod["status"]["phase"] == "Pending":
            pod["spec"].setdefault("nodeName", NODE_NAME)
            pod = update_pod_status(store, pod, running_status(pod, time), time)
        if pod["status"]["phase"] != "Running":
            return _NEVER
        deadline = _find_deadline(pod)
        if deadline and deadline <= time:
            update_pod_status(store, pod, deadline_status(pod, time), time)
            return _NEVER
        update_pod_status(store, pod, image_update_status(pod, time), time)
        return deadline

    def _terminate_pod(
        self, store: ClusterStore, entry: StoredObject, pod: JsonDict, time: str
    ) -> str:
        metadata = pod["metadata"]
        grace = metadata.get("deletionGracePeriodSeconds", 0)
        end = add_seconds(metadata["deletionTimestamp"], min(self._exit_seconds, grace) - grace)
        if end > time:
            return end
        if metadata.get("finalizers"):
            return _NEVER
        store.remove(entry)
        return _NEVER


def update_pod_status(store: ClusterStore, pod: JsonDict, status: JsonDict, time: str) -> JsonDict:
    """Write a pod's status as the kubelet."""
    kind: ServedKind = find_served_kind(_POD)
    new = record_update(pod, {**pod, "status": status}, _KUBELET_MANAGER, kind.schema, time)
    old = store.find(ObjectRef("", "Pod", pod["metadata"]["namespace"], pod["metadata"]["name"]))
    return save_object(store, kind, old.load() if old else None, new)


def _find_deadline(pod: JsonDict) -> str:
    seconds = pod["spec"].get("activeDeadlineSeconds")
    return _NEVER if seconds is None else add_seconds(pod["status"]["startTime"], seconds)
