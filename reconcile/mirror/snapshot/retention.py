"""Which generations are committed, and which of them to keep.

A generation is committed if HEAD names it or if it is the parent of a committed one; other
manifests are left from commits that failed. Where garbage collection has deleted a parent, its
record names the committed generations before it. The retention policy keeps the last generations,
and one for each of the last hours and days.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from msgspec import Struct

from reconcile.mirror.model import Complete, Generation, ManifestRef, Partial
from reconcile.mirror.snapshot.encoding import SECOND
from reconcile.mirror.snapshot.head import ManifestHeader


def find_committed(
    head: Generation, headers: Mapping[str, ManifestHeader], recorded: Iterable[ManifestRef]
) -> dict[str, ManifestRef]:
    """Return the manifests of committed generations that still exist, by key, newest first.

    Args:
        head: The generation that HEAD names.
        headers: The headers of all existing manifests, by key.
        recorded: The manifests that records of earlier garbage collections name as committed.
    """
    committed: dict[str, ManifestRef] = {}
    pending = [*head.chain, *recorded]
    while pending:
        ref = pending.pop()
        header = headers.get(ref.key)
        if ref.key in committed or header is None:
            continue
        committed[ref.key] = ref
        pending.extend(header.chain)
        if header.parent is not None:
            pending.append(header.parent)
    return dict(sorted(committed.items(), reverse=True))


def build_generation(ref: ManifestRef, header: ManifestHeader) -> Generation:
    """Return the generation whose last manifest is `ref`."""
    return Generation(header.generation, header.time, (*header.chain, ref), header.completeness)


HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR


class RetentionPolicy(Struct, frozen=True):
    """How many generations to keep: the last ones, and one for each of the last hours and days.

    Hours and days are those of UTC. Those without a generation do not count, so a session that was
    idle for a month keeps as many generations as one that was not.
    """

    last: int
    hourly: int
    daily: int


def select_generations_to_keep(
    generations: Iterable[Generation], policy: RetentionPolicy
) -> frozenset[int]:
    """Return the numbers of the generations to keep.

    They always include the current generation and the last complete one. For an hour or a day, the
    last complete generation is kept, or the last one if none is complete. The order is that of
    numbers, because the clocks of pods differ.
    """
    newest_first = sorted(generations, key=lambda generation: generation.number, reverse=True)
    kept = {generation.number for generation in newest_first[: max(policy.last, 1)]}
    kept.update(generation.number for generation in islice(filter(_is_complete, newest_first), 1))
    kept.update(_one_per_period(newest_first, HOUR, policy.hourly))
    kept.update(_one_per_period(newest_first, DAY, policy.daily))
    return frozenset(kept)


def _one_per_period(newest_first: Iterable[Generation], period: int, count: int) -> Iterable[int]:
    chosen: dict[int, Generation] = {}
    for generation in newest_first:
        best = chosen.setdefault(generation.time // period, generation)
        if _is_complete(generation) and not _is_complete(best):
            chosen[generation.time // period] = generation
    return (generation.number for generation in islice(chosen.values(), max(count, 0)))


def _is_complete(generation: Generation) -> bool:
    match generation.completeness:
        case Complete():
            return True
        case Partial():
            return False
