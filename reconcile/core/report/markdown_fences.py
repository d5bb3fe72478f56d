"""Lines in a fence that nothing inside of it can close."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from reconcile.core.report.escape import longest_run, narrow

_MOST_LINES: Final = 150
_WIDEST_LINE: Final = 300
_MOST_BYTES: Final = 8_000
"""So that a session of a few large objects still fits into a comment."""

_SHORTEST: Final = 3


def fence(lines: Iterable[str], language: str) -> Iterator[str]:
    """Put lines into a fence; long lines are cut, and what is too much is counted."""
    shown, rest = _bounded(lines)
    if rest:
        shown.append(f" … {rest} more lines")
    ticks = "`" * max(_SHORTEST, 1 + _longest(shown))
    yield f"{ticks}{language}"
    yield from shown
    yield ticks


def _bounded(lines: Iterable[str]) -> tuple[list[str], int]:
    """Take the first lines, each cut to a width, and count the others."""
    shown: list[str] = []
    rest, room = 0, _MOST_BYTES
    for line in lines:
        cut = narrow(line, _WIDEST_LINE)
        room -= len(cut.encode())
        if rest or room < 0 or len(shown) == _MOST_LINES:
            rest += 1
        else:
            shown.append(cut)
    return shown, rest


def _longest(lines: Sequence[str]) -> int:
    return max(map(longest_run, lines), default=0)
