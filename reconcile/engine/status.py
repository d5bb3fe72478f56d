"""The status of an installation's sessions, from their Records and pods."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from reconcile.core.changes import UnflushedPod
from reconcile.core.errors import ClusterError, Problem, UnavailableError
from reconcile.core.lifecycle.containers import Remark
from reconcile.core.lifecycle.health import Health, assess_health, describe_pod
from reconcile.core.lifecycle.pod_status import (
    Phase,
    find_end,
    has_started,
    read_containers,
    seconds_between,
)
from reconcile.core.model import (
    LABEL_INSTALLATION,
    LABEL_SESSION,
    RECORD_STATUS_KEY,
    DesiredState,
    Kind,
    KubeObject,
    SessionId,
    SessionState,
    build_record_ref,
)
from reconcile.core.record import RecordStatus, parse_record_status
from reconcile.core.report.status import NextStep, StatusRow
from reconcile.engine.inventory import CONFIG_MAP
from reconcile.engine.ports import Clock, Cluster

_POD = Kind("v1", "Pod")


@dataclass(frozen=True, slots=True)
class StatusResult:
    """One row per session, sorted; `problems` are the namespaces that could not be read."""

    rows: tuple[StatusRow, ...]
    problems: tuple[Problem, ...]


def read_status(
    cluster: Cluster,
    clock: Clock,
    desired: DesiredState,
    namespaces: Iterable[str],
    learn: Callable[[KubeObject], None] = lambda _: None,
) -> StatusResult:
    """Read the Records and pods of these namespaces; no ClusterError is raised.

    Sessions that are declared there and have no Record have a row too. `learn` is called with each
    pod: its containers may have written secrets that only the live pod has.
    """
    now = clock.now()
    rows: dict[SessionId, StatusRow] = {}
    problems: list[Problem] = []
    unavailable: UnavailableError | None = None
    for namespace in sorted(set(namespaces)):
        try:
            if unavailable is not None:
                raise unavailable
            pods, records = _read_namespace(cluster, namespace, desired.policy.installation)
        except ClusterError as error:
            # The retries of one namespace are enough if the server does not answer.
            unavailable = error if isinstance(error, UnavailableError) else None
            problems.append(Problem(namespace, 0, 0, "", f"could not be read: {error}"))
            continue
        for pod in pods.values():
            learn(pod)
        live = [_build_row(body, pods.get(_session_of(body)), now) for body in records]
        rows |= {row.session: row for row in (*_missing_rows(desired, namespace), *live)}
    return StatusResult(tuple(rows[session] for session in sorted(rows)), tuple(problems))


def _read_namespace(
    cluster: Cluster, namespace: str, installation: str
) -> tuple[dict[SessionId, KubeObject], list[KubeObject]]:
    """Read the pods and the Records."""
    labels = {LABEL_INSTALLATION: installation}
    pods = {_session_of(pod): pod for pod in cluster.list(_POD, namespace, labels)}
    config_maps = cluster.list(CONFIG_MAP, namespace, labels)
    return pods, [
        body
        for body in config_maps
        if body["metadata"]["name"] == build_record_ref(_session_of(body)).name
    ]


def _missing_rows(desired: DesiredState, namespace: str) -> Iterator[StatusRow]:
    remarks = (Remark("it is declared, and no pass has created it yet"),)
    for wanted in desired.sessions:
        session = wanted.session
        if session.id.namespace == namespace:
            yield StatusRow(session.id, session.state, Phase.PENDING, "NotApplied", remarks)


def _session_of(body: KubeObject) -> SessionId:
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    return SessionId(metadata["namespace"], labels.get(LABEL_SESSION, ""))


def _build_row(record: KubeObject, pod: KubeObject | None, now: str) -> StatusRow:
    data = record.get("data") or {}
    status = parse_record_status(data.get(RECORD_STATUS_KEY, ""))
    state = (
        SessionState.STOPPED
        if data.get("state") == SessionState.STOPPED.value
        else SessionState.RUNNING
    )
    health = _assess_health(pod, state, status, now)
    failures = (Remark("the last pass failed", failure) for failure in status.failed)
    remarks = dict.fromkeys((*failures, health.remark, *describe_pod(pod)))
    return StatusRow(
        session=_session_of(record),
        state=state,
        phase=health.phase,
        reason=health.reason,
        remarks=tuple(remarks),
        next_step=_find_next_step(pod, state, health.phase),
        restarts=sum(each.restarts for each in read_containers(pod or {})),
        age=_age_of(pod, now),
        record_age=_age_of(record, now),
        revision=status.revision,
        held=status.pending,
        digest=status.digest,
        unflushed=_describe_unflushed(status.flush.unflushed),
    )


def _describe_unflushed(pod: UnflushedPod | None) -> str:
    return "" if pod is None else f"a pod ended unflushed at {pod.time}: {pod.reason}"


def _assess_health(
    pod: KubeObject | None, state: SessionState, status: RecordStatus, now: str
) -> Health:
    """Assess a session's health; the Record remembers how the work ended if the pod is gone."""
    if pod is not None or state is SessionState.STOPPED or not status.ended:
        return assess_health(pod, state, now)
    end = status.ended[0]
    phase = Phase.COMPLETED if end.phase == Phase.COMPLETED.value else Phase.FAILED
    return Health(phase, end.reason or "PodGone", Remark("the pod is gone"))


def _find_next_step(pod: KubeObject | None, state: SessionState, phase: Phase) -> NextStep:
    if phase is Phase.UNKNOWN:
        return NextStep.NODE
    if phase not in {Phase.COMPLETED, Phase.FAILED} or state is SessionState.STOPPED:
        return NextStep.NONE
    if pod is None or find_end(pod):
        return NextStep.START_AGAIN
    return NextStep.DELETE_POD if has_started(pod) else NextStep.RETRY


def _age_of(body: KubeObject | None, now: str) -> float:
    """The age of an object in seconds; negative if there is none, or its time is invalid."""
    created = "" if body is None else body["metadata"].get("creationTimestamp", "")
    age = seconds_between(created, now)
    return -1.0 if age is None else age
