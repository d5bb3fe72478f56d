"""Which generations are kept: the last ones, and one for each of the last hours and days."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from msgspec import Struct

from reconcile.mirror.model import Generation, Missing, Whole
from reconcile.mirror.snapshot.times import SECOND

HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR


class Policy(Struct, frozen=True):
    """How many to keep: of the last generations, and one each of the last hours and days (UTC).

    Hours and days without a generation are not counted, so that a session that rested for a month
    keeps as much as one that did not.
    """

    last: int
    hourly: int
    daily: int


def kept(generations: Iterable[Generation], policy: Policy) -> frozenset[int]:
    """Return the numbers of the generations to keep.

    The current one is always among them, and the last whole one. Of an hour or a day the last whole
    generation is kept, or the last if none is whole. What is last is told by numbers, since the
    clocks of pods differ.
    """
    newest = sorted(generations, key=lambda each: each.number, reverse=True)
    numbers = {each.number for each in newest[: max(policy.last, 1)]}
    numbers.update(each.number for each in islice(filter(_is_whole, newest), 1))
    numbers.update(_one_each(newest, HOUR, policy.hourly))
    numbers.update(_one_each(newest, DAY, policy.daily))
    return frozenset(numbers)


def _one_each(newest: Iterable[Generation], period: int, count: int) -> Iterable[int]:
    chosen: dict[int, Generation] = {}
    for each in newest:
        best = chosen.setdefault(each.time // period, each)
        if _is_whole(each) and not _is_whole(best):
            chosen[each.time // period] = each
    return (each.number for each in islice(chosen.values(), max(count, 0)))


def _is_whole(generation: Generation) -> bool:
    match generation.completeness:
        case Whole():
            return True
        case Missing():
            return False
