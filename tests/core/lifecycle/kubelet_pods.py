"""A session's pod as a server of Kubernetes 1.36 shows it, with what a kubelet has reported."""

from typing import Any

CREATED = "2026-01-31T12:00:00Z"
READY_TYPES = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
MAIN_IMAGE = "registry.example/runner:1"
MIRROR_IMAGE = "registry.example/reconcile:1"
CONTAINER_ID = "containerd://" + "c" * 64


def running() -> dict[str, Any]:
    return {"running": {"startedAt": "2026-01-31T12:00:09Z"}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def terminated(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    times = {"startedAt": "2026-01-31T12:00:09Z", "finishedAt": "2026-01-31T12:04:00Z"}
    details = {
        "exitCode": code,
        "reason": reason,
        **times,
        "containerID": "containerd://" + "a" * 64,
    }
    return {"terminated": {**details, **({"message": message} if message else {})}}


def container(name: str, state: dict[str, Any], last: Any = None, restarts: int = 0) -> Any:
    return {
        "name": name,
        "state": state,
        "lastState": last or {},
        "ready": "running" in state,
        "started": "running" in state,
        "restartCount": restarts,
        "image": MAIN_IMAGE if name == "runner" else MIRROR_IMAGE,
        "imageID": "registry.example/runner@sha256:" + "b" * 64,
        "containerID": CONTAINER_ID,
        "resources": {"requests": {"cpu": "250m"}},
        "user": {"linux": {"uid": 1000, "gid": 1000, "supplementalGroups": [1000]}},
        "volumeMounts": [{"name": "workspace", "mountPath": "/workspace"}],
    }


HYDRATED = container("hydrate", terminated(0, "Completed"))
SYNCING = container("sync", running())
WORKING = container("runner", running())
INITIALIZING = container("runner", waiting("PodInitializing"))


def conditions(**statuses: Any) -> list[dict[str, Any]]:
    """The conditions of a pod, all True, except these: a status, or (status, reason, message)."""
    types = (*READY_TYPES, "PodScheduled", *(each for each in statuses if each not in READY_TYPES))
    return [_condition(kind, statuses.get(kind, "True")) for kind in dict.fromkeys(types)]


def _condition(kind: str, value: Any) -> dict[str, Any]:
    status, *rest = (value,) if isinstance(value, str) else value
    given = dict(zip(("reason", "message"), rest, strict=False))
    times = {"lastProbeTime": None, "lastTransitionTime": "2026-01-31T12:00:10Z"}
    return {"type": kind, "status": status, "observedGeneration": 1, **times, **given}


def pod(
    phase: str = "Running",
    containers: Any = (HYDRATED, SYNCING, WORKING),
    *,
    metadata: Any = None,
    **status: Any,
) -> dict[str, Any]:
    """A pod whose `sync` is a native sidecar; the first two containers are init containers."""
    named = {"name": "one-runner", "namespace": "team-a", "creationTimestamp": CREATED}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**named, "generation": 1, **(metadata or {})},
        "spec": {
            "nodeName": "worker-3",
            "restartPolicy": "Never",
            "initContainers": [
                {"name": "hydrate", "image": MIRROR_IMAGE},
                {"name": "sync", "image": MIRROR_IMAGE, "restartPolicy": "Always"},
            ],
            "containers": [{"name": "runner", "image": MAIN_IMAGE}],
        },
        "status": {
            "phase": phase,
            "observedGeneration": 1,
            "conditions": conditions(),
            "initContainerStatuses": list(containers[:2]),
            "containerStatuses": list(containers[2:]),
            "qosClass": "Burstable",
            "hostIP": "192.0.2.3",
            "podIP": "198.51.100.7",
            "startTime": "2026-01-31T12:00:01Z",
            **status,
        },
    }
