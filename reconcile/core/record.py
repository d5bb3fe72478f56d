"""The status in a session's Record, for people and the command `status`.

A pass that changes nothing writes nothing, so the status describes the last change, and what has
been pending or failing since.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, TypeAlias, assert_never

import orjson

from reconcile.core.canonical_json import parse_count
from reconcile.core.changes import (
    Delete,
    EndedPod,
    FlushTrace,
    Hold,
    Outcome,
    Replace,
    Status,
    UnflushedPod,
)
from reconcile.core.lifecycle.pod_status import (
    MirrorEnded,
    MirrorRunning,
    MirrorState,
    seconds_between,
)
from reconcile.core.model import (
    RECORD_STATUS_KEY,
    KubeObject,
    ObjectRef,
    SessionId,
    build_record_ref,
)

_WRITTEN_STATUSES: Final = frozenset(
    {Status.CREATED, Status.CONFIGURED, Status.REPLACED, Status.DELETED}
)


AdmittedValues: TypeAlias = Mapping[str, str]
"""What admission made of an object's declared values: a digest by the path of each field."""


@dataclass(frozen=True, slots=True)
class RecordStatus:
    """`revision` is the commit that the pass applied, `digest` the session's own.

    `pending` names each held change and why; `failed` each failure, secrets already masked. `ended`
    are the pods whose work has ended: they are not created again when the pod object is gone.
    `failed_starts` counts the pods that were replaced because their runner never started, the last
    one at `failed_start_time` (RFC 3339). `flush` is what has been seen of the pods' last flushes.
    `admitted` has the admitted values of each object.
    """

    revision: str = ""
    digest: str = ""
    pending: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    ended: tuple[EndedPod, ...] = ()
    failed_starts: int = 0
    failed_start_time: str = ""
    flush: FlushTrace = FlushTrace()  # noqa: RUF009 - a frozen value
    admitted: Mapping[str, AdmittedValues] = field(default_factory=dict)

    def admitted_values(self, ref: ObjectRef) -> AdmittedValues:
        """Return what admission made of the values of an object of the session."""
        return self.admitted.get(str(ref), {})


def next_status(
    previous: RecordStatus, current: RecordStatus, outcomes: Iterable[Outcome]
) -> RecordStatus | None:
    """Return the status to write; None if nothing changed, and neither did what it remembers."""
    if current == previous:
        return None
    wrote = any(outcome.status in _WRITTEN_STATUSES for outcome in outcomes)
    is_same = _memory_of(previous) == _memory_of(current)
    is_same = is_same and not has_flush_news(previous.flush, current.flush)
    return None if not wrote and is_same else current


def _memory_of(status: RecordStatus) -> tuple[object, ...]:
    """Return what is written also by a pass that changes no object."""
    return status.pending, status.failed, status.ended, status.admitted


def has_flush_news(previous: FlushTrace, current: FlushTrace) -> bool:
    """Whether a pod has ended since; that there is a new one is written with its creation."""
    has_ended = previous.pod not in {"", current.pod}
    return has_ended or previous.unflushed != current.unflushed


def follow_flush(previous: FlushTrace, mirrors: Mapping[str, MirrorState]) -> FlushTrace:
    """Follow the last flush of a session's pods, from what they show now, by UID."""
    trace = previous
    if trace.pod and trace.pod not in mirrors:
        trace = FlushTrace("", UnflushedPod(trace.pod, "", _UNSEEN))
    for uid, mirror in mirrors.items():
        trace = see_flush(trace, uid, mirror)
    return trace


_UNSEEN: Final = "the pod was gone before its last flush was seen"


def see_flush(trace: FlushTrace, uid: str, mirror: MirrorState) -> FlushTrace:
    """Follow the last flush of one pod that still exists."""
    pod = "" if trace.pod == uid else trace.pod
    match mirror:
        case MirrorRunning():
            return replace(trace, pod=uid)
        case MirrorEnded(_, ""):
            return FlushTrace(pod)
        case MirrorEnded() if trace.unflushed is not None and trace.unflushed.uid == uid:
            return replace(trace, pod=pod)
        case MirrorEnded(time, problem):
            return FlushTrace(pod, UnflushedPod(uid, time, problem))
        case _:
            assert_never(mirror)


def finish_flush(trace: FlushTrace, outcomes: Iterable[Outcome], now: str) -> FlushTrace:
    """Return the trace once pods are deleted by us; what has no time gets `now` (RFC 3339)."""
    over = {Status.REPLACED, Status.DELETED}
    changes = (outcome.change for outcome in outcomes if outcome.status in over)
    if trace.pod in {each.live.uid for each in changes if isinstance(each, Replace | Delete)}:
        trace = replace(trace, pod="")
    if trace.unflushed is None or trace.unflushed.time:
        return trace
    return replace(trace, unflushed=replace(trace.unflushed, time=now))


def seconds_to_back_off(status: RecordStatus, now: str) -> float:
    """Return how long the next replacement of a pod that never started has to wait, in seconds.

    Like the kubelet: 10 seconds, then twice as long each time, at most 5 minutes; a failure that is
    10 minutes old is forgotten. `now` is in RFC 3339.
    """
    passed = seconds_between(status.failed_start_time, now)
    if not status.failed_starts or passed is None or passed > _FORGET_SECONDS:
        return 0
    delay: float = _FIRST_DELAY * 2 ** min(status.failed_starts - 1, _MAX_DOUBLINGS)
    return max(0.0, min(delay, _MAX_DELAY) - passed)


_FIRST_DELAY: Final = 10.0
_MAX_DELAY: Final = 300.0
_MAX_DOUBLINGS: Final = 10
_FORGET_SECONDS: Final = 600.0


def count_failed_start(status: RecordStatus, now: str) -> int:
    """Count one more replacement of a pod that never started, at `now` in RFC 3339."""
    passed = seconds_between(status.failed_start_time, now)
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


# A pass needs a session's status at several places, one after the other.
@lru_cache(maxsize=16)
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
            flush=_parse_flush(data.get("flush", {})),
            admitted=_parse_admitted(data.get("admitted", {})),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return RecordStatus()


def _parse_admitted(data: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    return {
        name: {path: str(digest) for path, digest in values.items()}
        for name, values in data.items()
    }


def _parse_flush(data: Mapping[str, Any]) -> FlushTrace:
    noted = data.get("unflushed")
    names = ("uid", "time", "reason")
    unflushed = UnflushedPod(*(str(noted[name]) for name in names)) if noted else None
    return FlushTrace(str(data.get("pod", "")), unflushed)


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
