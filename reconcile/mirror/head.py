"""Reads and exchanges HEAD: one conditional write, and one look where its answer leaves doubt.

A pod takes a workspace over: from then on whoever had it before can commit no more.

Makes a generation the one that counts.

Which generation a workspace stands upon: HEAD as it was committed last, and its tree.
"""

from typing import TypeAlias

from msgspec import Struct

from reconcile.mirror.clock import Clock
from reconcile.mirror.errors import (
    DamagedError,
    FencedError,
    MissingObjectError,
    PreconditionError,
    StoreAwayError,
    StoreError,
)
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Generation, Head, SnapshotTree, Writer
from reconcile.mirror.protocol import (
    ClaimRequest,
    Committed,
    Fenced,
    HeadUnchanged,
    HeadVersion,
    HeadWriteObservation,
    HeadWriteResult,
    Superseded,
    build_claimed_head,
    classify_head_write,
    is_same_writer,
)
from reconcile.mirror.snapshot.chain import replay_chain
from reconcile.mirror.snapshot.head import decode_head, encode_head
from reconcile.mirror.snapshot.keys import HEAD
from reconcile.mirror.store.port import ABSENT, Store


def read_head(store: Store) -> HeadVersion | None:
    """Read HEAD; None only where the store says clearly that there is none.

    Raises:
        StoreError: It could not be read.
        DamagedError: It is no HEAD.
        UnknownFormatError: Another version wrote it.
    """
    try:
        stored = store.get(HEAD)
    except MissingObjectError:
        return None
    return HeadVersion(decode_head(stored.body), stored.etag)


def swap_head(store: Store, attempted: Head, before: HeadVersion | None) -> HeadWriteResult:
    """Write HEAD if it is still `before`, and say what became of it.

    Where the answer is lost or a refusal, HEAD is read: if it is still the old one, the write is
    sent once more, never a third time.

    Raises:
        StoreError: It could not be learnt whether the write arrived; it may still arrive later.
        DamagedError: HEAD was deleted or is no HEAD any more.
    """
    first = _try_write(store, attempted, before)
    second = _try_write(store, attempted, before) if isinstance(first, StoreError) else first
    if isinstance(second, StoreError):
        raise _unavailable_error(second) from second
    return second


def _try_write(
    store: Store, attempted: Head, before: HeadVersion | None
) -> HeadWriteResult | StoreError:
    """Send the write; an error is returned where HEAD is still the old one afterwards."""
    precondition = ABSENT if before is None else before.etag
    try:
        etag = store.put_if(HEAD, encode_head(attempted), precondition)
    except (PreconditionError, StoreAwayError) as error:
        meaning = _observe_head(store, attempted, before)
        return error if isinstance(meaning, HeadUnchanged) else meaning
    return Committed(HeadVersion(attempted, etag))


def _observe_head(
    store: Store, attempted: Head, before: HeadVersion | None
) -> HeadWriteObservation:
    found = read_head(store)
    if found is None and before is not None:
        raise DamagedError(
            "HEAD was deleted while this workspace was in use, so nothing more is written. Its "
            "generations are still below manifests/: put HEAD back, or move the prefix away to "
            "begin anew"
        )
    return classify_head_write(attempted, before, found)


def _unavailable_error(error: StoreError) -> StoreAwayError:
    """A refusal although HEAD is the old one passes by itself: the store contradicts itself."""
    if isinstance(error, StoreAwayError):
        return error
    return StoreAwayError(
        f"the store refuses to write HEAD though it has not changed ({error}); if this stays so, "
        "it does not understand conditional writes"
    )


MAX_CLAIM_ATTEMPTS = 20
"""How often others may come in between before a claim gives up."""

_PAUSE = 0.2


def claim(store: Store, request: ClaimRequest, clock: Clock) -> HeadVersion:
    """Make this pod the writer; returns HEAD as it is then, with the last committed generation.

    HEAD is what the claim itself wrote, so that nothing can be committed between the look and the
    claim: a predecessor's commit comes either before it and is in it, or is refused.

    Raises:
        StoreError: HEAD could not be read, or it is not known whether the claim arrived.
        DamagedError: HEAD cannot be read as one.
        UnknownFormatError: Another version wrote it.
    """
    found = read_head(store)
    for _ in range(MAX_CLAIM_ATTEMPTS):
        attempted = build_claimed_head(found, request, clock.time_ns())
        match swap_head(store, attempted, found):
            case Committed(landed):
                return landed
            case Superseded(other) | Fenced(other):
                found = other
                clock.sleep(_PAUSE * clock.jitter())
    raise StoreAwayError(
        f"HEAD changed {MAX_CLAIM_ATTEMPTS} times while it was being claimed: are other pods of this session "
        "starting again and again?"
    )


def fenced_error(writer: Writer) -> FencedError:
    """Say who has the workspace now."""
    return FencedError(
        f"pod {writer.name or '?'} (UID {writer.uid}, epoch {writer.epoch}) has taken this "
        "workspace over; this one writes nothing any more. Delete this pod if the other is wanted, "
        "or the other and then this one"
    )


CommitResult: TypeAlias = Committed | Superseded


def commit(store: Store, attempted: Head, before: HeadVersion) -> CommitResult:
    """Write HEAD with a generation whose manifest and bytes are all stored already.

    Returns:
        Landed where it is acknowledged: the generation counts and will never be lost.
        Moved where an earlier write of the same writer arrived late: begin again from it.

    Raises:
        FencedError: Another writer has claimed the workspace.
        StoreError: It is not known whether it arrived; HEAD must be read before the next commit.
        DamagedError: HEAD was deleted or is no HEAD any more.
    """
    match swap_head(store, attempted, before):
        case Fenced(found):
            raise fenced_error(found.head.writer)
        case (Committed() | Superseded()) as committed:
            return committed


class CommittedState(Struct, frozen=True):
    """HEAD, and the tree that its generation is."""

    version: HeadVersion
    tree: SnapshotTree


def last_manifest_digest(generation: Generation) -> str:
    """Return the digest of a generation's last manifest, empty for generation 0."""
    return generation.chain[-1].digest if generation.chain else ""


def read_own_head(store: Store, writer: Writer) -> HeadVersion:
    """Read HEAD and see that it is still this writer's.

    Raises:
        FencedError: It is another's.
        StoreError: It could not be read.
        DamagedError: It is gone, or no HEAD.
    """
    found = read_head(store)
    if found is None:
        raise DamagedError(
            "HEAD is gone though this workspace was claimed: somebody deleted it, or the bucket or "
            "prefix is another one than hydrate used"
        )
    if not is_same_writer(found.head.writer, writer):
        raise fenced_error(found.head.writer)
    return found


def read_cached_tree(store: Store, state: StateDirectory, generation: Generation) -> SnapshotTree:
    """Read the tree of a generation, from kept manifests where they are what HEAD names.

    Raises:
        DamagedError: A manifest is missing, altered or malformed.
        UnknownFormatError: Another version wrote one.
        StoreError: One could not be read.
    """
    if not generation.chain:
        return SnapshotTree()

    def manifest(place: int) -> bytes:
        ref = generation.chain[place]
        kept = state.read_cached_manifest(ref)
        if kept is not None:
            return kept
        try:
            data = store.get(ref.key).body
        except MissingObjectError:
            raise DamagedError(
                f"{ref.key} is missing though generation {generation.number} needs it: restore "
                "that object, or go back to an earlier generation"
            ) from None
        state.cache_manifest(ref.digest, data)
        return data

    return replay_chain((ref, manifest(place)) for place, ref in enumerate(generation.chain))
