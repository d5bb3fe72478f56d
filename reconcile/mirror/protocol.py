"""Who may commit, and what HEAD says after a conditional write whose answer left doubt. Pure."""

from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from reconcile.mirror.model import Completeness, Generation, Head, ManifestRef, Writer


class HeadVersion(Struct, frozen=True):
    """HEAD as it was read or written; `etag` is what the next conditional write refers to."""

    head: Head
    etag: str


class ClaimRequest(Struct, frozen=True):
    """A pod that wants to write: its UID, and its name for people."""

    uid: str
    name: str


class Committed(Struct, frozen=True):
    """The write is what HEAD says now."""

    version: HeadVersion


class HeadUnchanged(Struct, frozen=True):
    """HEAD is still what it was before: the write did not arrive, or not yet."""


class Superseded(Struct, frozen=True):
    """The writer's own epoch stands in HEAD with another generation: a late write of his arrived.

    What was attempted is void. The writer may begin again from what was found.
    """

    version: HeadVersion


class Fenced(Struct, frozen=True):
    """HEAD belongs to another writer, or to another epoch of the same pod."""

    version: HeadVersion


HeadWriteResult: TypeAlias = Committed | Superseded | Fenced
HeadWriteObservation: TypeAlias = HeadWriteResult | HeadUnchanged


def is_same_writer(one: Writer, other: Writer) -> bool:
    """Tell whether two writers are one: a pod in one epoch; the name is for people alone."""
    return (one.uid, one.epoch) == (other.uid, other.epoch)


def classify_head_write(
    attempted: Head, before: HeadVersion | None, after: HeadVersion | None
) -> HeadWriteObservation:
    """Say what became of a write, from HEAD as it was before and as it is read afterwards.

    The order matters: a write that landed is ours even where it looks like something else, and
    only what is exactly the old HEAD, by its ETag, may be written over once more.

    Args:
        attempted: What was sent.
        before: What the write was conditional on; None if on there being no HEAD.
        after: What is there now; None only where `before` is None too.
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

    The epoch grows even where the pod is the same: a process of it that died may have a write on
    its way.

    Args:
        current: HEAD as it is; None for a session that has none yet.
        request: Who claims.
        time: Nanoseconds since 1970: the time of generation 0 where there is none yet.
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
    """Return the number of the next generation: greater than any that this writer ever sent."""
    return max(head.generation.number, attempted) + 1
