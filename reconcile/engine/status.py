"""The status of an installation's sessions, from their Records and pods."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from reconcile.core.errors import ClusterError, Problem, UnavailableError
from reconcile.core.lifecycle.health import Health, Phase, assess_health
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
from reconcile.core.report.status import StatusRow
from reconcile.engine.inventory import CONFIG_MAP
from reconcile.engine.ports import Clock, Cluster

_POD = Kind("v1", "Pod")


@dataclass(frozen=True, slots=True)
class StatusResult:
    """One row per session, sorted; `problems` are the namespaces that could not be read."""

    rows: tuple[StatusRow, ...]
    problems: tuple[Problem, ...]


def read_status(
    cluster: Cluster, clock: Clock, desired: DesiredState, namespaces: Iterable[str]
) -> StatusResult:
    """Read the Records and pods of these namespaces; no ClusterError is raised.

    Sessions that are declared there and have no Record have a row too.
    """
    now = clock.now()
    rows: dict[SessionId, StatusRow] = {}
    problems: list[Problem] = []
    unavailable: UnavailableError | None = None
    for namespace in sorted(set(namespaces)):
        try:
            if unavailable is not None:
                raise unavailable
            read = _read_namespace(cluster, namespace, desired.policy.installation, now)
        except ClusterError as error:
            # The retries of one namespace are enough if the server does not answer.
            unavailable = error if isinstance(error, UnavailableError) else None
            problems.append(Problem(namespace, 0, 0, "", f"could not be read: {error}"))
        else:
            rows |= {row.session: row for row in (*_missing_rows(desired, namespace), *read)}
    return StatusResult(tuple(rows[session] for session in sorted(rows)), tuple(problems))


def _read_namespace(
    cluster: Cluster, namespace: str, installation: str, now: str
) -> list[StatusRow]:
    labels = {LABEL_INSTALLATION: installation}
    pods = {_session_of(pod): pod for pod in cluster.list(_POD, namespace, labels)}
    return [
        _build_row(body, pods.get(_session_of(body)), now)
        for body in cluster.list(CONFIG_MAP, namespace, labels)
        if body["metadata"]["name"] == build_record_ref(_session_of(body)).name
    ]


def _missing_rows(desired: DesiredState, namespace: str) -> Iterator[StatusRow]:
    message = "it is declared, and no pass has created it yet"
    for wanted in desired.sessions:
        session = wanted.session
        if session.id.namespace == namespace:
            yield StatusRow(session.id, session.state, Phase.PENDING, "NotApplied", message)


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
    health = _assess_health(pod, state, status)
    return StatusRow(
        session=_session_of(record),
        state=state,
        phase=health.phase,
        reason=health.reason,
        message="; ".join((*status.failed, *filter(None, [health.message]))),
        age=_seconds_between(record["metadata"].get("creationTimestamp") or "", now),
        revision=status.revision,
        held=status.pending,
        digest=status.digest,
    )


def _assess_health(pod: KubeObject | None, state: SessionState, status: RecordStatus) -> Health:
    """Assess a session's health; the Record remembers how the work ended if the pod is gone."""
    if pod is None and state is SessionState.RUNNING and status.ended:
        end = status.ended[0]
        phase = Phase.COMPLETED if end.phase == Phase.COMPLETED.value else Phase.FAILED
        return Health(phase, end.reason or "PodGone", f"the pod is gone; {_START_AGAIN}")
    health = assess_health(pod, state)
    if health.phase not in {Phase.COMPLETED, Phase.FAILED}:
        return health
    message = f"{health.message}; {_START_AGAIN}" if health.message else _START_AGAIN
    return replace(health, message=message)


_START_AGAIN: Final = (
    "to start the session again, apply it with `state: Stopped`, and then with `state: Running`"
)


def _seconds_between(start: str, end: str) -> float:
    """The seconds between two RFC 3339 times; negative if one of them is invalid."""
    try:
        started, ended = (datetime.fromisoformat(text) for text in (start, end))
    except ValueError:
        return -1.0
    return (ended.replace(tzinfo=UTC) - started.replace(tzinfo=UTC)).total_seconds()
