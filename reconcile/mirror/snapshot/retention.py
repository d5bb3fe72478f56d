"""Which generations are kept: the last ones, and one for each of the last hours and days.

Which manifests are committed generations, and which were left behind by commits that failed.

Committed is what HEAD names, and the parent of what is committed. Where garbage collection has
taken a parent away, its own record says which generations before that are committed.
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
        head: What HEAD names.
        headers: Of all manifests that exist, by key.
        recorded: What the records of earlier garbage collections call committed.
    """
    found: dict[str, ManifestRef] = {}
    waiting = [*head.chain, *recorded]
    while waiting:
        ref = waiting.pop()
        header = headers.get(ref.key)
        if ref.key in found or header is None:
            continue
        found[ref.key] = ref
        waiting.extend(header.chain)
        if header.parent is not None:
            waiting.append(header.parent)
    return dict(sorted(found.items(), reverse=True))


def build_generation(ref: ManifestRef, header: ManifestHeader) -> Generation:
    """Return the generation whose last manifest this is."""
    return Generation(header.generation, header.time, (*header.chain, ref), header.completeness)


HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR


class RetentionPolicy(Struct, frozen=True):
    """How many to keep: of the last generations, and one each of the last hours and days (UTC).

    Hours and days without a generation are not counted, so that a session that rested for a month
    keeps as much as one that did not.
    """

    last: int
    hourly: int
    daily: int


def select_generations_to_keep(
    generations: Iterable[Generation], policy: RetentionPolicy
) -> frozenset[int]:
    """Return the numbers of the generations to keep.

    The current one is always among them, and the last whole one. Of an hour or a day the last whole
    generation is kept, or the last if none is whole. What is last is told by numbers, since the
    clocks of pods differ.
    """
    newest = sorted(generations, key=lambda each: each.number, reverse=True)
    numbers = {each.number for each in newest[: max(policy.last, 1)]}
    numbers.update(each.number for each in islice(filter(_is_complete, newest), 1))
    numbers.update(_one_per_period(newest, HOUR, policy.hourly))
    numbers.update(_one_per_period(newest, DAY, policy.daily))
    return frozenset(numbers)


def _one_per_period(newest: Iterable[Generation], period: int, count: int) -> Iterable[int]:
    chosen: dict[int, Generation] = {}
    for each in newest:
        best = chosen.setdefault(each.time // period, each)
        if _is_complete(each) and not _is_complete(best):
            chosen[each.time // period] = each
    return (each.number for each in islice(chosen.values(), max(count, 0)))


def _is_complete(generation: Generation) -> bool:
    match generation.completeness:
        case Complete():
            return True
        case Partial():
            return False
