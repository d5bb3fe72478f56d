"""A session's phase and health, read from its pod.

Generic health rules are wrong for a bare pod with `restartPolicy: Never`: here a failed pod is
failed and a ready one is healthy. Missing or invalid fields of a status are ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconcile.core.lifecycle.containers import (
    Remark,
    describe_bridge_end,
    describe_containers,
    describe_end,
    describe_wait,
)
from reconcile.core.lifecycle.pod_status import (
    BRIDGE,
    ContainerStatus,
    Phase,
    WorkEnd,
    deletion_time,
    find_bridge_end,
    find_condition,
    find_disruption,
    find_failure,
    find_pod_end,
    mapping_or_empty,
    read_containers,
    seconds_between,
    text_or_empty,
)
from reconcile.core.model import KubeObject, SessionState

NO_REMARK: Final = Remark("")


@dataclass(frozen=True, slots=True)
class Health:
    """A session's phase; `reason` is one word to search for, `remark` describes the state.

    `is_ready` means that the pod runs and all of its containers are ready.
    """

    phase: Phase
    reason: str = ""
    remark: Remark = NO_REMARK
    is_ready: bool = False


def assess_health(pod: KubeObject | None, state: SessionState, now: str = "") -> Health:
    """Assess a session's health from its pod (None if it does not exist) and the desired state.

    Without `now`, in RFC 3339, a deletion that takes too long is not noticed.
    """
    if pod is None:
        return _health_without_pod(state)
    if end := find_pod_end(pod):
        return _ended_health(pod, end)
    if _is_node_lost(pod, now):
        return Health(Phase.UNKNOWN, _NODE_LOST, _describe_lost_node(pod))
    if deletion_time(pod):
        return _terminating_health(pod)
    status = mapping_or_empty(pod.get("status"))
    if disruption := find_disruption(status):
        return _disrupted_health(pod, disruption)
    return _health_in_phase(text_or_empty(status.get("phase")), pod)


def _ended_health(pod: KubeObject, end: WorkEnd) -> Health:
    status = mapping_or_empty(pod.get("status"))
    message = text_or_empty(status.get("message")) if status.get("reason") else ""
    return Health(end.phase, end.reason, Remark("", message) if message else _describe_failure(end))


def _describe_failure(end: WorkEnd) -> Remark:
    return describe_end(end.failed) if end.failed else NO_REMARK


def describe_pod(pod: KubeObject | None) -> tuple[Remark, ...]:
    """Say what is remarkable about each container: waits, errors, messages and restarts."""
    return () if pod is None else tuple(describe_containers(read_containers(pod)))


_NODE_LOST: Final = "NodeLost"
_GONE_AFTER_SECONDS: Final = 60.0
"""How long after its deletion time a kubelet that answers may need to remove a pod."""


def _is_node_lost(pod: KubeObject, now: str) -> bool:
    """Whether the pod's node does not answer, as far as the pod alone shows it."""
    status = mapping_or_empty(pod.get("status"))
    if text_or_empty(status.get("reason")) == _NODE_LOST or status.get("phase") == "Unknown":
        return True
    has_ended = text_or_empty(status.get("phase")) in {"Succeeded", "Failed"}
    return _is_overdue(pod, now) or (not has_ended and _is_marked_not_ready(status))


def _is_marked_not_ready(status: Mapping[str, Any]) -> bool:
    """Whether the control plane, and not the kubelet, says that the pod is not ready.

    It sets the condition Ready of the pods of a node that does not answer and changes nothing else:
    the containers still count as ready, and there is no reason. Minutes later it deletes the pods.
    """
    ready = find_condition(status, "Ready")
    if ready.get("status") == "Unknown":
        return True
    containers = find_condition(status, "ContainersReady")
    are_opposite = ready.get("status") == "False" and containers.get("status") == "True"
    return are_opposite and not text_or_empty(ready.get("reason"))


def _is_overdue(pod: KubeObject, now: str) -> bool:
    """Whether a pod should have been gone for long, and no finalizer keeps it."""
    waited = seconds_between(deletion_time(pod), now)
    is_late = waited is not None and waited > _GONE_AFTER_SECONDS
    return is_late and not _finalizers(pod)


def _finalizers(pod: KubeObject) -> str:
    names = mapping_or_empty(pod.get("metadata")).get("finalizers")
    return ", ".join(map(str, names)) if isinstance(names, list) else ""


def _describe_lost_node(pod: KubeObject) -> Remark:
    name = text_or_empty(mapping_or_empty(pod.get("spec")).get("nodeName"))
    lost = f"node {name} does not answer" if name else "the node does not answer"
    since = deletion_time(pod)
    text = f"{lost}; the pod was to be gone by {since}" if since else lost
    return Remark(text, _disruption_message(mapping_or_empty(pod.get("status"))))


def _terminating_health(pod: KubeObject) -> Health:
    status = mapping_or_empty(pod.get("status"))
    text = f"is to be gone by {deletion_time(pod)}"
    kept = _finalizers(pod)
    remark = Remark(
        f"{text}, and then when these finalizers are removed: {kept}" if kept else text,
        _disruption_message(status),
    )
    return Health(Phase.STOPPING, find_disruption(status) or "Terminating", remark)


def _disruption_message(status: Mapping[str, Any]) -> str:
    """Return what the node or the control plane says about the end of the pod."""
    message = text_or_empty(find_condition(status, "DisruptionTarget").get("message"))
    return text_or_empty(status.get("message")) or message


def _disrupted_health(pod: KubeObject, reason: str) -> Health:
    """The health of a pod that is ended from outside: its runner's exit code says nothing."""
    status = mapping_or_empty(pod.get("status"))
    message = _disruption_message(status)
    if text_or_empty(status.get("phase")) in {"Succeeded", "Failed"}:
        failed = _describe_failure(find_failure(read_containers(pod)))
        return Health(Phase.FAILED, reason, Remark("", message) if message else failed)
    return Health(Phase.STOPPING, reason, Remark("the pod is ended from outside", message))


def _health_without_pod(state: SessionState) -> Health:
    if state is SessionState.STOPPED:
        return Health(Phase.STOPPED)
    return Health(Phase.PENDING, "NoPod", Remark("the pod has not been created yet"))


def _health_in_phase(phase: str, pod: KubeObject) -> Health:
    match phase:
        case "Running":
            return _running_health(pod)
        case "Pending" | "":
            return _pending_health(pod)
        case _:
            return Health(Phase.UNKNOWN, phase, Remark("the pod's phase is not a known one"))


def _running_health(pod: KubeObject) -> Health:
    status = mapping_or_empty(pod.get("status"))
    containers = read_containers(pod)
    if end := find_bridge_end(containers):
        return Health(Phase.RUNNING, end.reason, describe_bridge_end(end))
    if find_condition(status, "Ready").get("status") == "True":
        return Health(Phase.RUNNING, is_ready=True)
    return _find_trouble(containers, Phase.RUNNING) or _unready_health(containers)


def _unready_health(containers: Sequence[ContainerStatus]) -> Health:
    current = (each for each in containers if not (each.is_init and each.terminated))
    unready = [container for container in current if not container.is_ready]
    names = [container.name for container in unready]
    if names == [BRIDGE] and not unready[0].terminated:
        return Health(Phase.RUNNING, "PromptPending", Remark("the prompt is not delivered yet"))
    text = f"not ready: {', '.join(names)}" if names else ""
    return Health(Phase.RUNNING, "NotReady", Remark(text))


def _pending_health(pod: KubeObject) -> Health:
    scheduled = find_condition(mapping_or_empty(pod.get("status")), "PodScheduled")
    if scheduled.get("status") == "False":
        reason = text_or_empty(scheduled.get("reason")) or "Unschedulable"
        message = Remark("", text_or_empty(scheduled.get("message")))
        return Health(Phase.PENDING, reason, message)
    containers = read_containers(pod)
    return _find_trouble(containers, Phase.PENDING) or _starting_health(containers)


def _starting_health(containers: Sequence[ContainerStatus]) -> Health:
    for container in containers:
        if container.is_init and container.running and not container.is_ready:
            return Health(Phase.PENDING, "Initializing", Remark(f"{container.title} is running"))
    if any(not container.is_init for container in containers):
        return Health(Phase.PENDING, "ContainerCreating")
    return Health(Phase.PENDING, "Scheduling", Remark("no node has taken the pod yet"))


def _find_trouble(containers: Sequence[ContainerStatus], phase: Phase) -> Health | None:
    """The health of the first container that waits too long or, if none does, has failed."""
    for container in containers:
        if container.is_stuck:
            reason = text_or_empty(container.waiting.get("reason"))
            return Health(phase, reason, describe_wait(container))
    ended = find_failure(containers)
    return Health(phase, ended.reason, describe_end(ended.failed)) if ended.failed else None
