"""Which generation a workspace stands upon: HEAD as it was committed last, and its tree."""

from msgspec import Struct

from reconcile.mirror.claim import fenced
from reconcile.mirror.errors import DamagedError, MissingObjectError
from reconcile.mirror.head import read_head
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Generation, Tree, Writer
from reconcile.mirror.protocol import Found, same_writer
from reconcile.mirror.snapshot.chain import assemble
from reconcile.mirror.store.port import Store


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
