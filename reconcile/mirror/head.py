"""Reads and writes HEAD: claims a workspace, commits a generation, reads the committed tree.

Every write of HEAD is conditional on the version that was read before. After a claim, the pod that
had the workspace before can no longer commit. Where the answer to a write is lost or a refusal,
HEAD is read to find out what happened.
"""

import hashlib
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
from reconcile.mirror.model import Generation, Head, ManifestRef, SnapshotTree, Writer
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
from reconcile.mirror.snapshot.head import MAX_HEAD, decode_head, encode_head
from reconcile.mirror.snapshot.keys import HEAD, MANIFESTS
from reconcile.mirror.store.port import ABSENT, ObjectData, Store


def read_head(store: Store) -> HeadVersion | None:
    """Read HEAD; None only where the store says clearly that there is none, and no generation.

    Raises:
        StoreError: It could not be read.
        DamagedError: It cannot be decoded, or it is missing although there are generations.
        UnknownFormatError: Another version wrote it.
    """

    def read() -> HeadVersion | None:
        try:
            stored = store.get(HEAD, MAX_HEAD)
        except MissingObjectError:
            _check_new(store)
            return None
        if not _has_its_digest(stored) and store.get(HEAD, MAX_HEAD) != stored:
            raise DamagedError("HEAD is damaged: two reads had different bytes")
        return HeadVersion(decode_head(stored.body), stored.etag)

    return store.retry(read)


def _has_its_digest(stored: ObjectData) -> bool:
    """Say whether the ETag is the MD5 of the body, as it is unless the store encrypts with KMS.

    HEAD is the only object whose digest is not known, and what is read becomes the next HEAD.
    """
    return stored.etag == hashlib.md5(stored.body, usedforsecurity=False).hexdigest()


def _check_new(store: Store) -> None:
    """Raise DamagedError if there are generations: an empty workspace would hide their loss."""
    manifest = next(iter(store.list(MANIFESTS)), None)
    if manifest is not None:
        raise DamagedError(
            f"HEAD is missing although there are generations, such as {manifest.key}: it was "
            "deleted. Put HEAD back (with an older version of the object, if the bucket keeps "
            "versions), or move the prefix away to start again"
        )


def swap_head(store: Store, attempted: Head, before: HeadVersion | None) -> HeadWriteResult:
    """Write HEAD if it is still `before`, and return the result.

    Where the answer is lost or a refusal, HEAD is read: if it is still the old one, the write is
    sent a second time. It may be repeated: only one of equal writes can find the old HEAD.

    Raises:
        StoreError: It is not known whether the write arrived; it may still arrive later.
        DamagedError: HEAD was deleted or can no longer be decoded.
    """
    first = _try_write(store, attempted, before)
    second = _try_write(store, attempted, before) if isinstance(first, StoreError) else first
    if isinstance(second, StoreError):
        raise _unavailable_error(second) from second
    return second


def _try_write(
    store: Store, attempted: Head, before: HeadVersion | None
) -> HeadWriteResult | StoreError:
    """Send the write; returns the error where HEAD is still the old one afterwards."""
    precondition = ABSENT if before is None else before.etag
    try:
        etag = store.put_if(HEAD, encode_head(attempted), precondition)
    except (PreconditionError, StoreAwayError) as error:
        observation = _observe_head(store, attempted, before)
        return error if isinstance(observation, HeadUnchanged) else observation
    return Committed(HeadVersion(attempted, etag))


def _observe_head(
    store: Store, attempted: Head, before: HeadVersion | None
) -> HeadWriteObservation:
    def observe() -> HeadWriteObservation:
        after = read_head(store)
        if after is None and before is not None:
            raise DamagedError(
                "HEAD was deleted while this workspace was in use, so nothing is written until it "
                "is back: put it back, or move the prefix away to start again"
            )
        return classify_head_write(attempted, before, after)

    return store.retry(observe)


def _unavailable_error(error: StoreError) -> StoreAwayError:
    """Treat a refusal although HEAD has not changed as temporary: the store contradicts itself."""
    if isinstance(error, StoreAwayError):
        return error
    return StoreAwayError(
        f"the store refuses to write HEAD though it has not changed ({error}); if this stays so, "
        "it does not understand conditional writes"
    )


MAX_CLAIM_ATTEMPTS = 20
"""How often other claims may come in between before a claim gives up."""

_PAUSE = 0.2


def claim(store: Store, request: ClaimRequest, clock: Clock) -> HeadVersion:
    """Make this pod the writer; returns the new HEAD, with the last committed generation.

    Nothing can be committed between the read and the claim: a predecessor's commit either comes
    before the claim and is part of it, or is refused.

    Raises:
        StoreError: HEAD could not be read, or it is not known whether the claim arrived.
        DamagedError: HEAD cannot be decoded.
        UnknownFormatError: Another version wrote it.
    """
    return store.retry(lambda: _claim_once(store, request, clock))


def _claim_once(store: Store, request: ClaimRequest, clock: Clock) -> HeadVersion:
    current = read_head(store)
    for _ in range(MAX_CLAIM_ATTEMPTS):
        attempted = build_claimed_head(current, request, clock.time_ns())
        match swap_head(store, attempted, current):
            case Committed(claimed):
                return claimed
            case Superseded(other) | Fenced(other):
                current = other
                clock.sleep(_PAUSE * clock.jitter())
    raise StoreAwayError(
        f"HEAD changed {MAX_CLAIM_ATTEMPTS} times while it was being claimed: are other pods of "
        "this session starting again and again?"
    )


def fenced_error(writer: Writer) -> FencedError:
    """Return the error that names the pod that has the workspace now."""
    return FencedError(
        f"pod {writer.name or '?'} (UID {writer.uid}, epoch {writer.epoch}) has taken this "
        "workspace over; this pod writes nothing more. Delete this pod to keep the other one, or "
        "delete the other one and then this one"
    )


CommitResult: TypeAlias = Committed | Superseded


def commit(store: Store, attempted: Head, before: HeadVersion) -> CommitResult:
    """Write HEAD with a generation whose manifest and bytes are all stored already.

    Returns:
        Committed: The write is acknowledged; the generation will never be lost.
        Superseded: An earlier write of the same writer arrived late: start again from it.

    Raises:
        FencedError: Another writer has claimed the workspace.
        StoreError: It is not known whether it arrived; HEAD must be read before the next commit.
        DamagedError: HEAD was deleted or can no longer be decoded.
    """
    match store.retry(lambda: swap_head(store, attempted, before)):
        case Fenced(version):
            raise fenced_error(version.head.writer)
        case (Committed() | Superseded()) as result:
            return result


class CommittedState(Struct, frozen=True):
    """HEAD, and the tree of its generation."""

    version: HeadVersion
    tree: SnapshotTree


def last_manifest_digest(generation: Generation) -> str:
    """Return the digest of a generation's last manifest, empty for generation 0."""
    return generation.chain[-1].digest if generation.chain else ""


def read_own_head(store: Store, writer: Writer) -> HeadVersion:
    """Read HEAD, and check that this writer may still commit.

    Raises:
        FencedError: Another writer has claimed the workspace.
        StoreError: HEAD could not be read.
        DamagedError: HEAD is missing or cannot be decoded.
    """

    def read() -> HeadVersion:
        version = read_head(store)
        if version is None:
            raise DamagedError(
                "HEAD is gone though this workspace was claimed: it was deleted, or the bucket or "
                "prefix is not the one that hydrate used"
            )
        return version

    version = store.retry(read)
    if not is_same_writer(version.head.writer, writer):
        raise fenced_error(version.head.writer)
    return version


def read_cached_tree(store: Store, state: StateDirectory, generation: Generation) -> SnapshotTree:
    """Read the tree of a generation; manifests come from the state directory if it has them.

    Raises:
        DamagedError: A manifest is missing, altered or malformed.
        UnknownFormatError: Another version wrote one.
        StoreError: One could not be read.
    """
    if not generation.chain:
        return SnapshotTree()

    def read() -> SnapshotTree:
        return replay_chain((ref, _read_manifest(store, state, ref)) for ref in generation.chain)

    return store.retry(read)


def _read_manifest(store: Store, state: StateDirectory, ref: ManifestRef) -> bytes:
    cached = state.read_cached_manifest(ref)
    if cached is not None:
        return cached
    try:
        data = store.get(ref.key, ref.size).body
    except MissingObjectError:
        raise DamagedError(
            f"{ref.key} is missing though generation {ref.generation} and those after it need it: "
            "restore that object, or go back to an earlier generation"
        ) from None
    state.cache_manifest(ref.digest, data)
    return data
