"""What the sessions of an installation are doing, from their Records and pods."""

from collections.abc import Iterable
from datetime import UTC, datetime

from reconcile.core.lifecycle.health import health
from reconcile.core.model import (
    LABEL_INSTALLATION,
    LABEL_SESSION,
    NOTE_KEY,
    Kind,
    KubeObject,
    SessionId,
    State,
    record_of,
)
from reconcile.core.record import parse_note
from reconcile.core.report.status import StatusRow
from reconcile.engine.inventory import CONFIG_MAP
from reconcile.engine.ports import Clock, Cluster

_POD = Kind("v1", "Pod")


def read_status(
    cluster: Cluster, clock: Clock, installation: str, namespaces: Iterable[str]
) -> tuple[StatusRow, ...]:
    """Read one row for each Record, ordered by session; ClusterError where one cannot be read."""
    labels = {LABEL_INSTALLATION: installation}
    now = clock.now()
    rows: list[StatusRow] = []
    for namespace in sorted(namespaces):
        pods = {_session_of(pod): pod for pod in cluster.list(_POD, namespace, labels)}
        rows += [
            _row(body, pods.get(_session_of(body)), now)
            for body in cluster.list(CONFIG_MAP, namespace, labels)
            if body["metadata"]["name"] == record_of(_session_of(body)).name
        ]
    return tuple(sorted(rows, key=lambda row: row.session))


def _session_of(body: KubeObject) -> SessionId:
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    return SessionId(metadata["namespace"], labels.get(LABEL_SESSION, ""))


def _row(record: KubeObject, pod: KubeObject | None, now: str) -> StatusRow:
    data = record.get("data") or {}
    note = parse_note(data.get(NOTE_KEY, ""))
    state = State.STOPPED if data.get("state") == State.STOPPED.value else State.RUNNING
    found = health(pod, state)
    return StatusRow(
        session=_session_of(record),
        state=state,
        phase=found.phase,
        reason=found.reason,
        message="; ".join((*note.failed, *filter(None, [found.message]))),
        age=_seconds_between(record["metadata"].get("creationTimestamp", ""), now),
        revision=note.revision,
        held=note.pending,
        digest=note.digest,
    )


def _seconds_between(start: str, end: str) -> float:
    """The seconds between two RFC 3339 times; negative where one of them is no such time."""
    try:
        began, ended = (datetime.fromisoformat(text) for text in (start, end))
    except ValueError:
        return -1.0
    return (ended.replace(tzinfo=UTC) - began.replace(tzinfo=UTC)).total_seconds()
