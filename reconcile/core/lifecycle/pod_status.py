"""Reads a pod's status: containers, conditions, whether work has begun or ended, the last flush.

Missing or invalid fields of a status are ignored.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeAlias

from reconcile.core.lifecycle.messages import (
    BridgeEnd,
    parse_message,
    read_bridge_end,
    word_flush,
)
from reconcile.core.model import KubeObject


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
class ContainerStatus:
    """One container's status; at most one of waiting, running, terminated is not empty.

    `title` is its type and name. `last_terminated` says how it ended before its last restart.
    """

    name: str
    title: str
    is_init: bool
    is_ready: bool
    waiting: Mapping[str, Any]
    running: Mapping[str, Any]
    terminated: Mapping[str, Any]
    last_terminated: Mapping[str, Any]
    restarts: int

    @property
    def is_stuck(self) -> bool:
        """Whether it waits for longer than a normal start."""
        return text_or_empty(self.waiting.get("reason")) not in _STARTING

    @property
    def has_failed(self) -> bool:
        """Whether it has ended with an error."""
        is_out_of_memory = self.terminated.get("reason") == _OUT_OF_MEMORY
        return is_out_of_memory or exit_code_of(self.terminated) != 0


_STARTING: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
_OUT_OF_MEMORY: Final = "OOMKilled"


def read_containers(pod: KubeObject) -> tuple[ContainerStatus, ...]:
    """Read the status of a pod's containers: init containers first, in their order."""
    status = mapping_or_empty(pod.get("status"))
    spec = mapping_or_empty(pod.get("spec"))
    sidecars = {
        _name(each)
        for each in mappings_in(spec.get("initContainers"))
        if each.get("restartPolicy") == "Always"
    }
    init = (
        _read_container(item, "sidecar" if _name(item) in sidecars else "init container")
        for item in mappings_in(status.get("initContainerStatuses"))
    )
    main = (_read_container(i, "container") for i in mappings_in(status.get("containerStatuses")))
    return (*init, *main)


def _name(item: Mapping[str, Any]) -> str:
    return text_or_empty(item.get("name"))


def _read_container(item: Mapping[str, Any], container_type: str) -> ContainerStatus:
    state = mapping_or_empty(item.get("state"))
    name = _name(item)
    restarts = item.get("restartCount")
    return ContainerStatus(
        name=name,
        title=f"{container_type} {name}",
        is_init=container_type != "container",
        is_ready=item.get("ready") is True,
        waiting=_state_details(state, "waiting"),
        running=_state_details(state, "running"),
        terminated=_state_details(state, "terminated"),
        last_terminated=_state_details(mapping_or_empty(item.get("lastState")), "terminated"),
        restarts=restarts if isinstance(restarts, int) else 0,
    )


def _state_details(state: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A state's details; not empty if the state is set."""
    if key not in state:
        return {}
    return {"reason": "", **mapping_or_empty(state[key])}


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


def has_started(pod: KubeObject) -> bool:
    """Whether work may have started in the pod, so that ending it could lose some.

    False only if the pod is pending or failed and its runner (without a container of that name, any
    main container) has never run; True if it is not certain.
    """
    status = mapping_or_empty(pod.get("status"))
    reported = status.get("containerStatuses") or []
    if not isinstance(reported, list) or not all(isinstance(each, Mapping) for each in reported):
        return True
    runners = [each for each in reported if each.get("name") == _RUNNER] or reported
    match status.get("phase"):
        case "Pending":
            return not all(map(_never_started, runners))
        case "Failed":
            if not runners:
                return text_or_empty(status.get("reason")) not in _REJECTIONS
            return not all(_never_started(each) or _could_not_start(each) for each in runners)
        case _:
            return True


def _never_started(status: Mapping[str, Any]) -> bool:
    """Whether a container waits for its first start, which is the server's default state."""
    state = status.get("state") or {"waiting": {}}
    begun = status.get("restartCount") or status.get("started") or status.get("lastState")
    return isinstance(state, Mapping) and list(state) == ["waiting"] and not begun


def _could_not_start(status: Mapping[str, Any]) -> bool:
    """Whether the container runtime could not start the program, once and for all."""
    ended = mapping_or_empty(mapping_or_empty(status.get("state")).get("terminated"))
    begun = status.get("restartCount") or status.get("lastState")
    return text_or_empty(ended.get("reason")) in _START_ERRORS and not begun


@dataclass(frozen=True, slots=True)
class WorkEnd:
    """How work has ended: COMPLETED or FAILED; `reason` is one word to search for.

    `failed` is the first container that has failed, if one has.
    """

    phase: Phase
    reason: str = ""
    failed: ContainerStatus | None = None


def find_end(pod: KubeObject) -> WorkEnd | None:
    """Find out how the work in a pod has ended by itself; None if it has not.

    A pod that was evicted or whose node was lost was interrupted: its work goes on in another pod.
    """
    end = find_pod_end(pod)
    return end if end is not None and has_started(pod) else None


def find_pod_end(pod: KubeObject) -> WorkEnd | None:
    """Find out how a pod has ended by itself, if it has, even if no work has begun in it."""
    status = mapping_or_empty(pod.get("status"))
    reason = text_or_empty(status.get("reason"))
    if deletion_time(pod) or find_disruption(status):
        return None
    match status.get("phase"):
        case "Succeeded":
            return WorkEnd(Phase.COMPLETED)
        case "Failed" if reason:
            return replace(find_failure(read_containers(pod)), reason=reason)
        case "Failed":
            return _find_runner_end(pod) or find_failure(read_containers(pod))
        case "Running" if not reason:
            return _find_runner_end(pod)
        case _:
            return None


def _find_runner_end(pod: KubeObject) -> WorkEnd | None:
    """How the session has ended, if its runner has ended and is not restarted; otherwise None.

    A sidecar may continue or fail: neither changes the result of the runner.
    """
    if mapping_or_empty(pod.get("spec")).get("restartPolicy") != "Never":
        return None
    containers = read_containers(pod)
    for container in containers:
        if container.name == _RUNNER and not container.is_init and container.terminated:
            return find_failure([container]) if container.has_failed else _completed(containers)
    return None


def _completed(containers: Iterable[ContainerStatus]) -> WorkEnd:
    sidecar = find_failure(containers)
    return WorkEnd(Phase.COMPLETED, sidecar.reason if sidecar.failed else "", sidecar.failed)


def find_failure(containers: Iterable[ContainerStatus]) -> WorkEnd:
    """Return the end that the first failed container is; without one, the reason is `Error`."""
    for container in containers:
        if container.has_failed:
            reason = text_or_empty(container.terminated.get("reason")) or _ERROR
            is_plain = reason == _ERROR and container.name == PREPARE
            return WorkEnd(Phase.FAILED, "PrepareFailed" if is_plain else reason, container)
    return WorkEnd(Phase.FAILED, _ERROR)


_ERROR: Final = "Error"

PREPARE: Final = "prepare"
"""The init container that makes the agent's folders and clones its repositories."""

BRIDGE: Final = "bridge"
"""The container that delivers prompts to the runner, and ends when there is nothing more to do."""


def find_bridge_end(containers: Iterable[ContainerStatus]) -> BridgeEnd | None:
    """Find out why the bridge has ended the work, if it has.

    A native sidecar is started again after that, and ends again: its last state counts too.
    """
    bridges = (container for container in containers if container.name == BRIDGE)
    states = (state for each in bridges for state in (each.terminated, each.last_terminated))
    messages = (parse_message(text_or_empty(state.get("message"))) for state in states)
    ends = (read_bridge_end(message) for message in messages if message)
    return next(filter(None, ends), None)


def takes_prompts(pod: KubeObject) -> bool:
    """Whether a new prompt would reach the work that runs in a pod.

    A pod that has not started reads its inputs at its start, one that has ended never again.
    """
    if not _has_container(pod, BRIDGE) or deletion_time(pod) or not has_started(pod):
        return False
    has_ended = _phase(pod) in _ENDED or find_pod_end(pod) is not None
    return not has_ended and find_bridge_end(read_containers(pod)) is None


def _has_container(pod: KubeObject, name: str) -> bool:
    spec = mapping_or_empty(pod.get("spec"))
    declared = (*mappings_in(spec.get("initContainers")), *mappings_in(spec.get("containers")))
    return any(container.get("name") == name for container in declared)


def _phase(pod: KubeObject) -> str:
    return text_or_empty(mapping_or_empty(pod.get("status")).get("phase"))


_ENDED: Final = frozenset({"Succeeded", "Failed"})

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


def find_mirror_state(pod: KubeObject) -> MirrorState | None:
    """Find out how the last flush of a pod went; None if the pod keeps no workspace."""
    if not _has_container(pod, MIRROR_SIDECAR):
        return None
    status = mapping_or_empty(pod.get("status"))
    mirror = next((each for each in read_containers(pod) if each.name == MIRROR_SIDECAR), None)
    if not has_started(pod) or not (_phase(pod) in _ENDED or deletion_time(pod)):
        return MirrorRunning()
    if mirror is not None and mirror.terminated:
        return _mirror_end(mirror, status)
    is_over = not deletion_time(pod) and not (mirror and mirror.running)
    return MirrorEnded(problem=_because(status, "no last flush")) if is_over else MirrorRunning()


def _mirror_end(mirror: ContainerStatus, status: Mapping[str, Any]) -> MirrorEnded:
    problem = _because(status, _describe_flush(mirror)) if exit_code_of(mirror.terminated) else ""
    return MirrorEnded(text_or_empty(mirror.terminated.get("finishedAt")), problem)


def _because(status: Mapping[str, Any], problem: str) -> str:
    disruption = find_disruption(status)
    return f"{disruption}: {problem}" if disruption else problem


def _describe_flush(mirror: ContainerStatus) -> str:
    """Describe how the last flush went, from the termination message if there is one."""
    message = parse_message(text_or_empty(mirror.terminated.get("message")))
    if words := word_flush(message or {}):
        return words
    cause = text_or_empty(mirror.terminated.get("reason")) or _ERROR
    return f"{MIRROR_SIDECAR} ended with exit code {exit_code_of(mirror.terminated)} ({cause})"


def find_disruption(status: Mapping[str, Any]) -> str:
    """Return why the pod was ended from outside, as one word; empty if it was not."""
    target = find_condition(status, "DisruptionTarget")
    reason = text_or_empty(status.get("reason"))
    if reason in _DISRUPTIONS:
        return reason
    is_target = target.get("status") == "True"
    return text_or_empty(target.get("reason")) or "Disrupted" if is_target else ""


def deletion_time(pod: KubeObject) -> str:
    """Return when a pod that is being deleted is to be gone; empty if it is not."""
    return text_or_empty(mapping_or_empty(pod.get("metadata")).get("deletionTimestamp"))


def exit_code_of(terminated: Mapping[str, Any]) -> int:
    """Return the exit code of a terminated state, 0 if the container has not ended."""
    code = terminated.get("exitCode")
    return code if isinstance(code, int) else 0


def seconds_between(start: str, end: str) -> float | None:
    """Return the seconds between two RFC 3339 times; None if one of them is invalid."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


def find_condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return the condition of this type in a pod's status; empty if there is none."""
    for condition in mappings_in(status.get("conditions")):
        if condition.get("type") == kind:
            return condition
    return {}


def mappings_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings in a list; nothing if it is no list."""
    if isinstance(value, list | tuple):
        yield from (item for item in value if isinstance(item, Mapping))


def mapping_or_empty(value: Any) -> Mapping[str, Any]:
    """Return a mapping, or an empty one for any other value."""
    return value if isinstance(value, Mapping) else {}


def text_or_empty(value: Any) -> str:
    """Return a text, or an empty one for any other value."""
    return value if isinstance(value, str) else ""
