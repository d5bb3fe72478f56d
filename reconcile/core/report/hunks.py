"""Two texts of lines as one: what goes, what comes, and what stays around it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from reconcile.core.report.yaml_diff import Row

_COMPARED: Final = 1_000
"""Lines that are compared one by one; what is longer goes and comes as a whole."""

_CONTEXT: Final = 10
"""Lines kept around a change, enough for the parents of a field."""

_AROUND_PROSE: Final = 2
"""Lines of a long text that are kept on either side of a change in it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One line: `sign` is `+`, `-`, or a blank for what stays."""

    sign: str
    row: Row

    def __str__(self) -> str:
        """The line as diffs have it."""
        return self.sign + self.row.text


def edits(before: Sequence[Row], after: Sequence[Row]) -> tuple[Edit, ...]:
    """Compare two texts, line by line."""
    front = _same(before, after)
    back = _same(before[front:][::-1], after[front:][::-1])
    old, new = (list(side[front : len(side) - back]) for side in (before, after))
    middle = [*_all("-", old), *_all("+", new)] if _is_long(old, new) else _matched(old, new)
    return (*_all(" ", before[:front]), *middle, *_all(" ", before[len(before) - back :]))


def added(whole: Sequence[Row]) -> tuple[Edit, ...]:
    """Show a text that was not there."""
    return tuple(_all("+", whole))


def unified(listed: Sequence[Edit]) -> Iterator[str]:
    """Write the hunks of a unified diff; nothing where nothing goes or comes."""
    old = new = 1
    at = 0
    for start, end in _spans(listed):
        stays = start - at
        old, new = old + stays, new + stays
        hunk = listed[start:end]
        goes = sum(edit.sign != "+" for edit in hunk)
        comes = sum(edit.sign != "-" for edit in hunk)
        yield f"@@ -{_range(old, goes)} +{_range(new, comes)} @@"
        yield from map(str, hunk)
        old, new, at = old + goes, new + comes, end


def without_prose(listed: Sequence[Edit]) -> Iterator[str]:
    """Leave out what stays the same of long texts, and nothing else."""
    near = _near_changes(listed, _AROUND_PROSE)
    left_out = False
    for position, edit in enumerate(listed):
        if edit.row.prose and position not in near:
            if not left_out:
                yield " …"
            left_out = True
        else:
            left_out = False
            yield str(edit)


def _all(sign: str, side: Sequence[Row]) -> Iterator[Edit]:
    return (Edit(sign, row) for row in side)


def _same(before: Sequence[Row], after: Sequence[Row]) -> int:
    pairs = enumerate(zip(before, after, strict=False))
    return next((at for at, (old, new) in pairs if old != new), min(len(before), len(after)))


def _is_long(old: Sequence[Row], new: Sequence[Row]) -> bool:
    return max(len(old), len(new)) > _COMPARED


def _matched(old: Sequence[Row], new: Sequence[Row]) -> Iterator[Edit]:
    matcher = SequenceMatcher(None, [row.text for row in old], [row.text for row in new])
    for tag, a1, a2, b1, b2 in matcher.get_opcodes():
        if tag == "equal":
            yield from _all(" ", old[a1:a2])
        else:
            yield from _all("-", old[a1:a2])
            yield from _all("+", new[b1:b2])


def _near_changes(listed: Sequence[Edit], reach: int) -> set[int]:
    changed = (at for at, edit in enumerate(listed) if edit.sign != " ")
    return {near for at in changed for near in range(at - reach, at + reach + 1)}


def _spans(listed: Sequence[Edit]) -> Iterator[tuple[int, int]]:
    """Yield where hunks begin and end."""
    start = end = -1
    for at, edit in enumerate(listed):
        if edit.sign == " ":
            continue
        if start >= 0 and at - _CONTEXT > end:
            yield start, end
            start = -1
        start = max(0, at - _CONTEXT) if start < 0 else start
        end = min(len(listed), at + 1 + _CONTEXT)
    if start >= 0:
        yield start, end


def _range(line: int, count: int) -> str:
    """Word a hunk's place as diffs do: the line before it where it has none."""
    return f"{line if count else line - 1},{count}"
