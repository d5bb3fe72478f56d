"""The status in a session's Record, for people and the command `status`.

A pass that changes nothing writes nothing, so the status describes the last change, and what has
been pending or failing since.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from reconcile.core.canonical_json import parse_count
from reconcile.core.changes import EndedPod, Hold, Outcome, Status
from reconcile.core.model import RECORD_STATUS_KEY, KubeObject, SessionId, build_record_ref

_WRITTEN_STATUSES: Final = frozenset(
    {Status.CREATED, Status.CONFIGURED, Status.REPLACED, Status.DELETED}
)


@dataclass(frozen=True, slots=True)
class RecordStatus:
    """`revision` is the commit that the pass applied, `digest` the session's own.

    `pending` names each held change and why; `failed` each failure, secrets already masked. `ended`
    are the pods whose work has ended: they are not created again when the pod object is gone.
    `failed_starts` counts the pods that were replaced because their runner never started, the last
    one at `failed_start_time` (RFC 3339).
    """

    revision: str = ""
    digest: str = ""
    pending: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    ended: tuple[EndedPod, ...] = ()
    failed_starts: int = 0
    failed_start_time: str = ""


def next_status(
    previous: RecordStatus, current: RecordStatus, outcomes: Iterable[Outcome]
) -> RecordStatus | None:
    """Return the status to write; None if nothing changed, and neither did what it remembers."""
    if current == previous:
        return None
    wrote = any(outcome.status in _WRITTEN_STATUSES for outcome in outcomes)
    return None if not wrote and _memory_of(previous) == _memory_of(current) else current


def _memory_of(status: RecordStatus) -> tuple[object, ...]:
    """Return what is written also by a pass that changes no object."""
    return status.pending, status.failed, status.ended


def seconds_to_back_off(status: RecordStatus, now: str) -> float:
    """Return how long the next replacement of a pod that never started has to wait, in seconds.

    Like the kubelet: 10 seconds, then twice as long each time, at most 5 minutes; a failure that is
    10 minutes old is forgotten. `now` is in RFC 3339.
    """
    passed = _seconds_between(status.failed_start_time, now)
    if not status.failed_starts or passed is None or passed > _FORGET_SECONDS:
        return 0
    delay: float = _FIRST_DELAY * 2 ** min(status.failed_starts - 1, _MAX_DOUBLINGS)
    return max(0.0, min(delay, _MAX_DELAY) - passed)


_FIRST_DELAY: Final = 10.0
_MAX_DELAY: Final = 300.0
_MAX_DOUBLINGS: Final = 10
_FORGET_SECONDS: Final = 600.0


def _seconds_between(start: str, end: str) -> float | None:
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return None


def count_failed_start(status: RecordStatus, now: str) -> int:
    """Count one more replacement of a pod that never started, at `now` in RFC 3339."""
    passed = _seconds_between(status.failed_start_time, now)
    is_recent = passed is not None and passed <= _FORGET_SECONDS
    return status.failed_starts + 1 if is_recent else 1


def find_remaining_ends(
    ended: Iterable[EndedPod], outcomes: Iterable[Outcome]
) -> tuple[EndedPod, ...]:
    """Return the ends that are still true once these outcomes have replaced or deleted pods."""
    over = {Status.CREATED, Status.REPLACED, Status.DELETED}
    begun = {o.change.ref.name for o in outcomes if o.status in over and o.change.ref.kind == "Pod"}
    return tuple(end for end in ended if end.name not in begun)


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
            ended=tuple(map(_parse_ended_pod, data.get("ended", ()))),
            failed_starts=parse_count(data.get("failed_starts", 0)),
            failed_start_time=str(data.get("failed_start_time", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return RecordStatus()


def _parse_ended_pod(data: Mapping[str, Any]) -> EndedPod:
    names = ("name", "phase", "reason", "digest")
    return EndedPod(*(str(data[name]) for name in names))


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
