"""Lines in a fence that nothing inside of it can close."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from reconcile.core.report.markdown.inline import longest_run, narrow

_MOST_LINES: Final = 150
_WIDEST_LINE: Final = 300
_SHORTEST: Final = 3


def fence(lines: Iterable[str], language: str) -> Iterator[str]:
    """Put lines into a fence; long lines are cut, and what is too much is counted."""
    iterator = iter(lines)
    shown = [narrow(line, _WIDEST_LINE) for line in islice(iterator, _MOST_LINES)]
    rest = sum(1 for _ in iterator)
    if rest:
        shown.append(f" … {rest} more lines")
    ticks = "`" * max(_SHORTEST, 1 + _longest(shown))
    yield f"{ticks}{language}"
    yield from shown
    yield ticks


def _longest(lines: Sequence[str]) -> int:
    return max(map(longest_run, lines), default=0)
