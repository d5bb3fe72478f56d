"""What the last pass that changed something leaves in a session's Record, for people and `status`.

A pass that changes nothing writes nothing, so the note tells of the last change and of what has
been waiting or failing since.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from reconcile.core.changes import Hold, Outcome, Status
from reconcile.core.model import RECORD_STATUS_KEY, KubeObject, SessionId, build_record_ref

_WRITTEN_STATUSES: Final = frozenset(
    {Status.CREATED, Status.CONFIGURED, Status.REPLACED, Status.DELETED}
)


@dataclass(frozen=True, slots=True)
class RecordStatus:
    """`revision` is the commit that the pass worked on, `digest` the session's own.

    `pending` names each held change and why; `failed` each failure, secrets already masked.
    """

    revision: str = ""
    digest: str = ""
    pending: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def next_status(
    previous: RecordStatus, current: RecordStatus, outcomes: Iterable[Outcome]
) -> RecordStatus | None:
    """Decide whether a note is worth a write: if something changed, or waits, or fails anew."""
    if current == previous:
        return None
    wrote = any(outcome.status in _WRITTEN_STATUSES for outcome in outcomes)
    same = (previous.pending, previous.failed) == (current.pending, current.failed)
    return None if same and not wrote else current


def describe_pending(outcomes: Iterable[Outcome]) -> tuple[str, ...]:
    """Word what is held."""
    return tuple(
        f"{type(outcome.change.change).__name__} {outcome.change.ref}: {outcome.change.reason.name}"
        for outcome in outcomes
        if isinstance(outcome.change, Hold)
    )


def format_record_status(status: RecordStatus) -> str:
    """Write a note as JSON."""
    return orjson.dumps(status).decode()


def with_record_status(record: KubeObject, status: RecordStatus) -> KubeObject:
    """Let a Record that is applied carry its note along: it saves a write for each new session.

    An apply by our own manager would otherwise drop a note that it has once carried.
    """
    if status == RecordStatus():
        return record
    return {**record, "data": {**record["data"], RECORD_STATUS_KEY: format_record_status(status)}}


def parse_record_status(text: str) -> RecordStatus:
    """Read a note; one that was damaged by hand counts as none."""
    try:
        data = orjson.loads(text)
        return RecordStatus(
            revision=str(data["revision"]),
            digest=str(data["digest"]),
            pending=tuple(map(str, data["pending"])),
            failed=tuple(map(str, data["failed"])),
        )
    except (ValueError, TypeError, KeyError):
        return RecordStatus()


def build_record_status_body(session: SessionId, uid: str, status: RecordStatus) -> dict[str, Any]:
    """Make the object that is applied to the Record with this UID, by the status manager."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": build_record_ref(session).name,
            "namespace": session.namespace,
            "uid": uid,
        },
        "data": {RECORD_STATUS_KEY: format_record_status(status)},
    }
