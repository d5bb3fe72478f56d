"""What the last pass that changed something leaves in a session's Record, for people and `status`.

A pass that changes nothing writes nothing, so the note tells of the last change and of what has
been waiting or failing since.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from reconcile.core.changes import Hold, Outcome, Status
from reconcile.core.model import NOTE_KEY, KubeObject, SessionId, record_of

_WRITES: Final = frozenset({Status.CREATED, Status.CONFIGURED, Status.REPLACED, Status.DELETED})


@dataclass(frozen=True, slots=True)
class Note:
    """`revision` is the commit that the pass worked on, `digest` the session's own.

    `pending` names each held change and why; `failed` each failure, secrets already masked.
    """

    revision: str = ""
    digest: str = ""
    pending: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def next_note(before: Note, now: Note, outcomes: Iterable[Outcome]) -> Note | None:
    """Decide whether a note is worth a write: if something changed, or waits, or fails anew."""
    if now == before:
        return None
    wrote = any(outcome.status in _WRITES for outcome in outcomes)
    same = (before.pending, before.failed) == (now.pending, now.failed)
    return None if same and not wrote else now


def pending_of(outcomes: Iterable[Outcome]) -> tuple[str, ...]:
    """Word what is held."""
    return tuple(
        f"{type(outcome.change.change).__name__} {outcome.change.ref}: {outcome.change.reason.name}"
        for outcome in outcomes
        if isinstance(outcome.change, Hold)
    )


def note_text(note: Note) -> str:
    """Write a note as JSON."""
    return orjson.dumps(note).decode()


def with_note(record: KubeObject, note: Note) -> KubeObject:
    """Let a Record that is applied carry its note along: it saves a write for each new session.

    An apply by our own manager would otherwise drop a note that it has once carried.
    """
    if note == Note():
        return record
    return {**record, "data": {**record["data"], NOTE_KEY: note_text(note)}}


def parse_note(text: str) -> Note:
    """Read a note; one that was damaged by hand counts as none."""
    try:
        data = orjson.loads(text)
        return Note(
            revision=str(data["revision"]),
            digest=str(data["digest"]),
            pending=tuple(map(str, data["pending"])),
            failed=tuple(map(str, data["failed"])),
        )
    except (ValueError, TypeError, KeyError):
        return Note()


def note_body(session: SessionId, uid: str, note: Note) -> dict[str, Any]:
    """Make the object that is applied to the Record with this UID, by the status manager."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": record_of(session).name,
            "namespace": session.namespace,
            "uid": uid,
        },
        "data": {NOTE_KEY: note_text(note)},
    }
