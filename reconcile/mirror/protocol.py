"""The commit protocol: who may write HEAD, and the result of a conditional write. Pure."""

from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.model import Completeness, Generation, Head, ManifestRef, Writer


class HeadVersion(Struct, frozen=True):
    """HEAD as it was read or written; `etag` is the condition of the next write."""

    head: Head
    etag: str


class ClaimRequest(Struct, frozen=True):
    """A pod that claims the workspace.

    Attributes:
        uid: Its UID.
        name: Its name, for messages.
        record_uid: The UID of its session's Record, for the log; empty where that is not known.
    """

    uid: str
    name: str
    record_uid: str = ""


class Committed(Struct, frozen=True):
    """HEAD is what was written."""

    version: HeadVersion


class HeadUnchanged(Struct, frozen=True):
    """HEAD is what it was before: the write did not arrive, or not yet."""


class Superseded(Struct, frozen=True):
    """HEAD has the writer's own epoch with another generation: an earlier write arrived late.

    The attempted write is void. The writer may start again from this version.
    """

    version: HeadVersion


class Fenced(Struct, frozen=True):
    """HEAD belongs to another writer, or to another epoch of the same pod."""

    version: HeadVersion


HeadWriteResult: TypeAlias = Committed | Superseded | Fenced
HeadWriteObservation: TypeAlias = HeadWriteResult | HeadUnchanged


def is_same_writer(one: Writer, other: Writer) -> bool:
    """Say whether two writers are the same: a pod in one epoch; the name does not count."""
    return (one.uid, one.epoch) == (other.uid, other.epoch)


def classify_head_write(
    attempted: Head, before: HeadVersion | None, after: HeadVersion | None
) -> HeadWriteObservation:
    """Return the result of a write, from HEAD before the write and HEAD read afterwards.

    The order of the checks matters: a write that arrived is ours even where it looks like another
    case, and only exactly the old HEAD, by its ETag, may be overwritten by a second attempt.

    Args:
        attempted: What was sent.
        before: The condition of the write; None for a write that must create HEAD.
        after: HEAD as it is now; None only where `before` is None too.
    """
    if after is None:
        return HeadUnchanged()
    if after.head == attempted:
        return Committed(after)
    if before is not None and after.etag == before.etag:
        return HeadUnchanged()
    if is_same_writer(after.head.writer, attempted.writer):
        return Superseded(after)
    return Fenced(after)


def build_claimed_head(current: HeadVersion | None, request: ClaimRequest, time: int) -> Head:
    """Return the HEAD by which a pod takes a workspace over: same generation, next epoch.

    The epoch increases even for the same pod: a write of an earlier process of it may still arrive.

    Args:
        current: HEAD as it is; None for a session that has none yet.
        request: The pod that claims.
        time: Nanoseconds since 1970: the time of generation 0 of a new session.
    """
    if current is None:
        return Head(Generation(0, time, ()), Writer(request.uid, 1, request.name))
    epoch = current.head.writer.epoch + 1
    return replace(current.head, writer=Writer(request.uid, epoch, request.name))


def build_successor_head(
    before: Head, chain: tuple[ManifestRef, ...], time: int, completeness: Completeness
) -> Head:
    """Return the HEAD that commits a new generation, whose manifest is the last of `chain`."""
    return replace(before, generation=Generation(chain[-1].generation, time, chain, completeness))


def next_generation_number(head: Head, attempted: int) -> int:
    """Return the number of the next generation: greater than any that this writer has sent."""
    return max(head.generation.number, attempted) + 1
