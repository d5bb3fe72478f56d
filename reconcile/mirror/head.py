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
from reconcile.mirror.model import Generation, Head, Tree, Writer
from reconcile.mirror.protocol import (
    Claimant,
    Decided,
    Found,
    Landed,
    Meaning,
    Moved,
    Taken,
    Unchanged,
    claimed,
    judge,
    same_writer,
)
from reconcile.mirror.snapshot.chain import assemble
from reconcile.mirror.snapshot.head import decode_head, encode_head
from reconcile.mirror.snapshot.keys import HEAD
from reconcile.mirror.store.port import ABSENT, Store


def read_head(store: Store) -> Found | None:
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
    return Found(decode_head(stored.body), stored.etag)


def exchange(store: Store, attempted: Head, before: Found | None) -> Decided:
    """Write HEAD if it is still `before`, and say what became of it.

    Where the answer is lost or a refusal, HEAD is read: if it is still the old one, the write is
    sent once more, never a third time.

    Raises:
        StoreError: It could not be learnt whether the write arrived; it may still arrive later.
        DamagedError: HEAD was deleted or is no HEAD any more.
    """
    first = _attempt(store, attempted, before)
    second = _attempt(store, attempted, before) if isinstance(first, StoreError) else first
    if isinstance(second, StoreError):
        raise _undecided(second) from second
    return second


def _attempt(store: Store, attempted: Head, before: Found | None) -> Decided | StoreError:
    """Send the write; an error is returned where HEAD is still the old one afterwards."""
    precondition = ABSENT if before is None else before.etag
    try:
        etag = store.put_if(HEAD, encode_head(attempted), precondition)
    except (PreconditionError, StoreAwayError) as error:
        meaning = _look(store, attempted, before)
        return error if isinstance(meaning, Unchanged) else meaning
    return Landed(Found(attempted, etag))


def _look(store: Store, attempted: Head, before: Found | None) -> Meaning:
    found = read_head(store)
    if found is None and before is not None:
        raise DamagedError(
            "HEAD was deleted while this workspace was in use, so nothing more is written. Its "
            "generations are still below manifests/: put HEAD back, or move the prefix away to "
            "begin anew"
        )
    return judge(attempted, before, found)


def _undecided(error: StoreError) -> StoreAwayError:
    """A refusal although HEAD is the old one passes by itself: the store contradicts itself."""
    if isinstance(error, StoreAwayError):
        return error
    return StoreAwayError(
        f"the store refuses to write HEAD though it has not changed ({error}); if this stays so, "
        "it does not understand conditional writes"
    )


ROUNDS = 20
"""How often others may come in between before a claim gives up."""

_PAUSE = 0.2


def claim(store: Store, claimant: Claimant, clock: Clock) -> Found:
    """Make this pod the writer; returns HEAD as it is then, with the last committed generation.

    HEAD is what the claim itself wrote, so that nothing can be committed between the look and the
    claim: a predecessor's commit comes either before it and is in it, or is refused.

    Raises:
        StoreError: HEAD could not be read, or it is not known whether the claim arrived.
        DamagedError: HEAD cannot be read as one.
        UnknownFormatError: Another version wrote it.
    """
    found = read_head(store)
    for _ in range(ROUNDS):
        attempted = claimed(found, claimant, clock.time_ns())
        match exchange(store, attempted, found):
            case Landed(landed):
                return landed
            case Moved(other) | Taken(other):
                found = other
                clock.sleep(_PAUSE * clock.jitter())
    raise StoreAwayError(
        f"HEAD changed {ROUNDS} times while it was being claimed: are other pods of this session "
        "starting again and again?"
    )


def fenced(writer: Writer) -> FencedError:
    """Say who has the workspace now."""
    return FencedError(
        f"pod {writer.name or '?'} (UID {writer.uid}, epoch {writer.epoch}) has taken this "
        "workspace over; this one writes nothing any more. Delete this pod if the other is wanted, "
        "or the other and then this one"
    )


Committed: TypeAlias = Landed | Moved


def commit(store: Store, attempted: Head, before: Found) -> Committed:
    """Write HEAD with a generation whose manifest and bytes are all stored already.

    Returns:
        Landed where it is acknowledged: the generation counts and will never be lost.
        Moved where an earlier write of the same writer arrived late: begin again from it.

    Raises:
        FencedError: Another writer has claimed the workspace.
        StoreError: It is not known whether it arrived; HEAD must be read before the next commit.
        DamagedError: HEAD was deleted or is no HEAD any more.
    """
    match exchange(store, attempted, before):
        case Taken(found):
            raise fenced(found.head.writer)
        case (Landed() | Moved()) as committed:
            return committed


class Position(Struct, frozen=True):
    """HEAD, and the tree that its generation is."""

    found: Found
    tree: Tree


def last_manifest(generation: Generation) -> str:
    """Return the digest of a generation's last manifest, empty for generation 0."""
    return generation.chain[-1].digest if generation.chain else ""


def read_own_head(store: Store, writer: Writer) -> Found:
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
    if not same_writer(found.head.writer, writer):
        raise fenced(found.head.writer)
    return found


def read_tree(store: Store, state: StateDirectory, generation: Generation) -> Tree:
    """Read the tree of a generation, from kept manifests where they are what HEAD names.

    Raises:
        DamagedError: A manifest is missing, altered or malformed.
        UnknownFormatError: Another version wrote one.
        StoreError: One could not be read.
    """
    if not generation.chain:
        return Tree()

    def manifest(place: int) -> bytes:
        ref = generation.chain[place]
        kept = state.manifest(ref)
        if kept is not None:
            return kept
        try:
            data = store.get(ref.key).body
        except MissingObjectError:
            raise DamagedError(
                f"{ref.key} is missing though generation {generation.number} needs it: restore "
                "that object, or go back to an earlier generation"
            ) from None
        state.keep_manifest(ref.digest, data)
        return data

    return assemble((ref, manifest(place)) for place, ref in enumerate(generation.chain))
