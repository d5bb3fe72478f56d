"""A pod's status as a kubelet would write it: each function gives the next one."""

from typing import Any, Final

from reconcile.adapters.embedded.store import Json
from reconcile.core.defaulting import containers_of

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
