"""A session's phase and health, read from its pod.

Generic health rules are wrong for a bare pod with `restartPolicy: Never`: here a failed pod is
failed and a ready one is healthy. Missing or invalid fields of a status are ignored.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

import orjson

from reconcile.core.model import KubeObject, SessionState


class Phase(Enum):
    """The phase of a session."""

    STOPPED = "Stopped"
    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Health:
    """A session's phase; `reason` is one word to search for, `message` describes the state.

    `is_ready` means that the pod runs and all of its containers are ready.
    """

    phase: Phase
    reason: str = ""
    message: str = ""
    is_ready: bool = False


MIRROR_SIDECAR: Final = "sync"
"""The container that stores the workspace; it can restart while the runner works."""


@dataclass(frozen=True, slots=True)
class MirrorRunning:
    """The mirror's sidecar may still store something, or has never had anything to store."""


@dataclass(frozen=True, slots=True)
class MirrorEnded:
    """The mirror's sidecar has ended with its pod.

    `time` is in RFC 3339, empty if unknown. `problem` says why not everything was stored, empty if
    it was.
    """

    time: str = ""
    problem: str = ""


MirrorState: TypeAlias = MirrorRunning | MirrorEnded


@dataclass(frozen=True, slots=True)
class _ContainerStatus:
    """One container's status; exactly one of waiting, running, terminated is not empty."""

    name: str
    is_init: bool
    is_ready: bool
    waiting: Mapping[str, Any]
    running: Mapping[str, Any]
    terminated: Mapping[str, Any]

    @property
    def exit_code(self) -> int:
        """The exit code, 0 if the container has not ended."""
        code = self.terminated.get("exitCode")
        return code if isinstance(code, int) else 0


_STARTING: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
_NODE_LOST: Final = "NodeLost"
_DISRUPTIONS: Final = frozenset({"Evicted", "NodeLost", "NodeShutdown", "Preempting", "Terminated"})
"""Reasons with which a kubelet ends a pod; newer ones set the condition DisruptionTarget too."""

_REJECTIONS: Final = frozenset(
    {
        "NodeAffinity",
        "NodePorts",
        "OutOfcpu",
        "OutOfephemeral-storage",
        "OutOfmemory",
        "OutOfpods",
        "PodOSNotSupported",
        "TopologyAffinityError",
        "UnexpectedAdmissionError",
    }
)
"""Reasons with which a kubelet refuses a pod before any container is created."""

_START_ERRORS: Final = frozenset({"ContainerCannotRun", "StartError"})
_RUNNER: Final = "runner"
"""The container whose end is the session's end, whatever sidecars do."""


def assess_health(pod: KubeObject | None, state: SessionState) -> Health:
    """Assess a session's health from its pod (None if it does not exist) and the desired state."""
    if pod is None:
        return _health_without_pod(state)
    status = _mapping_or_empty(pod.get("status"))
    if _text_or_empty(status.get("reason")) == _NODE_LOST:
        return Health(Phase.UNKNOWN, _NODE_LOST, _message(status, "the node is out of reach"))
    since = _text_or_empty(_mapping_or_empty(pod.get("metadata")).get("deletionTimestamp"))
    if since:
        return Health(Phase.STOPPING, "Terminating", f"is to be gone by {since}")
    if disruption := _disruption(status):
        return _disrupted_health(status, disruption)
    if _text_or_empty(status.get("phase")) in {"Running", "Failed"} and not _text_or_empty(
        status.get("reason")
    ):
        return _runner_result(pod, status) or _health_in_phase(
            _text_or_empty(status.get("phase")), status
        )
    return _health_in_phase(_text_or_empty(status.get("phase")), status)


def has_started(pod: KubeObject) -> bool:
    """Whether work may have started in the pod, so that ending it could lose some.

    False only if the pod is pending or failed and its runner (without a container of that name, any
    main container) has never run; True if it is not certain.
    """
    status = _mapping_or_empty(pod.get("status"))
    reported = status.get("containerStatuses") or []
    if not isinstance(reported, list) or not all(isinstance(each, Mapping) for each in reported):
        return True
    runners = [each for each in reported if each.get("name") == _RUNNER] or reported
    match status.get("phase"):
        case "Pending":
            return not all(map(_never_started, runners))
        case "Failed":
            if not runners:
                return _text_or_empty(status.get("reason")) not in _REJECTIONS
            return not all(_never_started(each) or _could_not_start(each) for each in runners)
        case _:
            return True


def find_end(pod: KubeObject) -> Health | None:
    """Find out how the work in a pod has ended by itself; None if it has not.

    A pod that was evicted or whose node was lost was interrupted: its work goes on in another pod.
    """
    health = assess_health(pod, SessionState.RUNNING)
    status = _mapping_or_empty(pod.get("status"))
    has_ended = health.phase in {Phase.COMPLETED, Phase.FAILED} and has_started(pod)
    return health if has_ended and not _disruption(status) else None


def find_mirror_state(pod: KubeObject) -> MirrorState | None:
    """Find out how the last flush of a pod went; None if the pod keeps no workspace."""
    spec, status = _mapping_or_empty(pod.get("spec")), _mapping_or_empty(pod.get("status"))
    declared = (*_mappings_in(spec.get("initContainers")), *_mappings_in(spec.get("containers")))
    if all(container.get("name") != MIRROR_SIDECAR for container in declared):
        return None
    mirror = next((each for each in _all_containers(status) if each.name == MIRROR_SIDECAR), None)
    if not has_started(pod) or not _is_ending(pod, status):
        return MirrorRunning()
    if mirror is not None and mirror.terminated:
        return _mirror_end(mirror, status)
    is_over = "deletionTimestamp" not in _mapping_or_empty(pod.get("metadata")) and not (
        mirror and mirror.running
    )
    return MirrorEnded(problem=_because(status, "no last flush")) if is_over else MirrorRunning()


def _is_ending(pod: KubeObject, status: Mapping[str, Any]) -> bool:
    has_ended = _text_or_empty(status.get("phase")) in {"Succeeded", "Failed"}
    return has_ended or "deletionTimestamp" in _mapping_or_empty(pod.get("metadata"))


def _mirror_end(mirror: _ContainerStatus, status: Mapping[str, Any]) -> MirrorEnded:
    problem = _because(status, _describe_flush(mirror)) if mirror.exit_code else ""
    return MirrorEnded(_text_or_empty(mirror.terminated.get("finishedAt")), problem)


def _because(status: Mapping[str, Any], problem: str) -> str:
    disruption = _disruption(status)
    return f"{disruption}: {problem}" if disruption else problem


def _describe_flush(mirror: _ContainerStatus) -> str:
    """Describe how the last flush went, from the termination message if there is one."""
    try:
        message = orjson.loads(_text_or_empty(mirror.terminated.get("message")))
        outcome, reason = str(message["outcome"]), str(message["reason"])
        missing = f"{int(message['missingFiles'])} files, {int(message['missingBytes'])} bytes"
    except (ValueError, TypeError, LookupError):
        cause = _text_or_empty(mirror.terminated.get("reason")) or "Error"
        return f"{MIRROR_SIDECAR} ended with exit code {mirror.exit_code} ({cause})"
    lacks = f", without {missing}" if outcome == "partial" else ""
    return f"last flush {outcome[:_MAX_WORD]}{lacks}: {reason[:_MAX_REASON]}"


_MAX_WORD: Final = 20
_MAX_REASON: Final = 200


def _never_started(status: Mapping[str, Any]) -> bool:
    """Whether a container waits for its first start, which is the server's default state."""
    state = status.get("state") or {"waiting": {}}
    begun = status.get("restartCount") or status.get("started") or status.get("lastState")
    return isinstance(state, Mapping) and list(state) == ["waiting"] and not begun


def _could_not_start(status: Mapping[str, Any]) -> bool:
    """Whether the container runtime could not start the program, once and for all."""
    ended = _mapping_or_empty(_mapping_or_empty(status.get("state")).get("terminated"))
    begun = status.get("restartCount") or status.get("lastState")
    return _text_or_empty(ended.get("reason")) in _START_ERRORS and not begun


def _disruption(status: Mapping[str, Any]) -> str:
    """Return why the pod was ended from outside, as one word; empty if it was not."""
    target = _condition(status, "DisruptionTarget")
    reason = _text_or_empty(status.get("reason"))
    if reason in _DISRUPTIONS:
        return reason
    is_target = target.get("status") == "True"
    return _text_or_empty(target.get("reason")) or "Disrupted" if is_target else ""


def _disrupted_health(status: Mapping[str, Any], reason: str) -> Health:
    """The health of a pod that is ended from outside: its runner's exit code says nothing."""
    if _text_or_empty(status.get("phase")) in {"Succeeded", "Failed"}:
        default = _failed_container(status).message
        target = _text_or_empty(_condition(status, "DisruptionTarget").get("message"))
        return Health(Phase.FAILED, reason, _message(status, target or default))
    return Health(Phase.STOPPING, reason, _message(status, "the node ends the pod"))


def _health_without_pod(state: SessionState) -> Health:
    if state is SessionState.STOPPED:
        return Health(Phase.STOPPED)
    return Health(Phase.PENDING, "NoPod", "the pod has not been created yet")


def _health_in_phase(phase: str, status: Mapping[str, Any]) -> Health:
    match phase:
        case "Succeeded":
            return Health(Phase.COMPLETED)
        case "Failed":
            return _failed_health(status)
        case "Running":
            return _running_health(status)
        case "Pending" | "":
            return _pending_health(status)
        case _:
            return Health(Phase.UNKNOWN, phase, _message(status, "the node does not answer"))


def _runner_result(pod: KubeObject, status: Mapping[str, Any]) -> Health | None:
    """How the session has ended, if its runner has ended and is not restarted; otherwise None.

    A sidecar may continue or fail: neither changes the result of the runner.
    """
    if _text_or_empty(_mapping_or_empty(pod.get("spec")).get("restartPolicy")) != "Never":
        return None
    for container in _containers(status, "containerStatuses"):
        if container.name == _RUNNER and container.terminated:
            ended = _first_failure([container])
            if ended.reason:
                return ended
            sidecar = _failed_container(status)
            return Health(Phase.COMPLETED, sidecar.reason, sidecar.message)
    return None


def _failed_health(status: Mapping[str, Any]) -> Health:
    ended = _failed_container(status)
    reason = _text_or_empty(status.get("reason"))
    if reason:
        return Health(Phase.FAILED, reason, _message(status, ended.message))
    return Health(Phase.FAILED, ended.reason or "Error", ended.message)


def _running_health(status: Mapping[str, Any]) -> Health:
    if _condition(status, "Ready").get("status") == "True":
        return Health(Phase.RUNNING, is_ready=True)
    stuck = _stuck_container(status, Phase.RUNNING)
    if stuck is not None:
        return stuck
    ended = _failed_container(status)
    if ended.reason:
        return Health(Phase.RUNNING, ended.reason, ended.message)
    current = (each for each in _all_containers(status) if not (each.is_init and each.terminated))
    unready = ", ".join(container.name for container in current if not container.is_ready)
    return Health(Phase.RUNNING, "NotReady", f"not ready: {unready}" if unready else "")


def _pending_health(status: Mapping[str, Any]) -> Health:
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        reason = _text_or_empty(scheduled.get("reason")) or "Unschedulable"
        return Health(Phase.PENDING, reason, _text_or_empty(scheduled.get("message")))
    stuck = _stuck_container(status, Phase.PENDING)
    if stuck is not None:
        return stuck
    ended = _failed_container(status)
    if ended.reason:
        return Health(Phase.PENDING, ended.reason, ended.message)
    return _starting_health(status)


def _starting_health(status: Mapping[str, Any]) -> Health:
    for container in _containers(status, "initContainerStatuses"):
        if container.running and not container.is_ready:
            return Health(
                Phase.PENDING, "Initializing", f"init container {container.name} is running"
            )
    if any(_containers(status, "containerStatuses")):
        return Health(Phase.PENDING, "ContainerCreating")
    return Health(Phase.PENDING, "Scheduling", "no node has taken the pod yet")


def _stuck_container(status: Mapping[str, Any], phase: Phase) -> Health | None:
    """The health of the first container that waits for longer than a normal start, or None."""
    for container in _all_containers(status):
        reason = _text_or_empty(container.waiting.get("reason"))
        if reason not in _STARTING:
            detail = _text_or_empty(container.waiting.get("message"))
            where = f"{_container_type(container)} {container.name}"
            return Health(phase, reason, f"{where}: {detail}" if detail else where)
    return None


def _failed_container(status: Mapping[str, Any]) -> Health:
    """The health of the first failed container; without a reason if none has failed."""
    return _first_failure(_all_containers(status))


def _first_failure(containers: Iterable[_ContainerStatus]) -> Health:
    for container in containers:
        reason = _text_or_empty(container.terminated.get("reason"))
        if container.exit_code or reason == "OOMKilled":
            where = f"{_container_type(container)} {container.name}"
            ended = f"{where} ended with exit code {container.exit_code}"
            detail = _text_or_empty(container.terminated.get("message")).strip()
            message = f"{ended}: {detail}" if detail else ended
            return Health(Phase.FAILED, reason or "Error", message)
    return Health(Phase.FAILED)


def _container_type(container: _ContainerStatus) -> str:
    return "init container" if container.is_init else "container"


def _message(status: Mapping[str, Any], otherwise: str) -> str:
    return _text_or_empty(status.get("message")) or otherwise


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    for condition in _mappings_in(status.get("conditions")):
        if condition.get("type") == kind:
            return condition
    return {}


def _all_containers(status: Mapping[str, Any]) -> Iterator[_ContainerStatus]:
    yield from _containers(status, "initContainerStatuses")
    yield from _containers(status, "containerStatuses")


def _containers(status: Mapping[str, Any], field: str) -> Iterator[_ContainerStatus]:
    for item in _mappings_in(status.get(field)):
        state = _mapping_or_empty(item.get("state"))
        yield _ContainerStatus(
            name=_text_or_empty(item.get("name")),
            is_init=field == "initContainerStatuses",
            is_ready=item.get("ready") is True,
            waiting=_state_details(state, "waiting"),
            running=_state_details(state, "running"),
            terminated=_state_details(state, "terminated"),
        )


def _state_details(state: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A state's details; not empty if the state is set."""
    if key not in state:
        return {}
    return {"reason": "", **_mapping_or_empty(state[key])}


def _mappings_in(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list | tuple):
        yield from (item for item in value if isinstance(item, Mapping))


def _mapping_or_empty(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text_or_empty(value: Any) -> str:
    return value if isinstance(value, str) else ""
