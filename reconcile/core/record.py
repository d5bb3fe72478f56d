"""The status in a session's Record, for people and the command `status`.

A pass that changes nothing writes nothing, so the status describes the last change, and what has
been pending or failing since.
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
    """`revision` is the commit that the pass applied, `digest` the session's own.

    `pending` names each held change and why; `failed` each failure, secrets already masked.
    """

    revision: str = ""
    digest: str = ""
    pending: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def next_status(
    previous: RecordStatus, current: RecordStatus, outcomes: Iterable[Outcome]
) -> RecordStatus | None:
    """Return the status to write; None if nothing changed, and pending and failed are the same."""
    if current == previous:
        return None
    wrote = any(outcome.status in _WRITTEN_STATUSES for outcome in outcomes)
    same = (previous.pending, previous.failed) == (current.pending, current.failed)
    return None if same and not wrote else current


def describe_pending(outcomes: Iterable[Outcome]) -> tuple[str, ...]:
    """Describe the held changes."""
    return tuple(
        f"{type(outcome.change.change).__name__} {outcome.change.ref}: {outcome.change.reason.name}"
        for outcome in outcomes
        if isinstance(outcome.change, Hold)
    )


def format_record_status(status: RecordStatus) -> str:
    """Serialize a status as JSON."""
    return orjson.dumps(status).decode()


def with_record_status(record: KubeObject, status: RecordStatus) -> KubeObject:
    """Add the status to a Record that is applied, which saves a write for each new session.

    An apply by our own manager without the status would remove a status that it has applied before.
    """
    if status == RecordStatus():
        return record
    return {**record, "data": {**record["data"], RECORD_STATUS_KEY: format_record_status(status)}}


def parse_record_status(text: str) -> RecordStatus:
    """Parse a status; damaged text counts as an empty status."""
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
    """Build the body that the status manager applies to the Record with this UID."""
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
