"""A field's value before and after, worded for people: short ones in line, long ones as a diff.

The one door to DeepDiff: what differs inside two nested values that are known to differ.

It is loaded when first needed, since loading takes longer than a whole pass without changes.
"""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconcile.core.changes import ABSENT, FieldChange
from reconcile.core.report.escape import quoted, visible


@dataclass(frozen=True, slots=True)
class Difference:
    """One place that differs, `ABSENT` where it is not there; `path` is relative, for people."""

    path: str
    before: Any
    after: Any


def differences(before: Any, after: Any) -> tuple[Difference, ...]:
    """List what differs; entries of a list that have a `name` are compared by it."""
    from deepdiff import DeepDiff  # noqa: PLC0415 - see the module

    found = DeepDiff(_keyed(before), _keyed(after), view="tree", threshold_to_diff_deeper=0)
    listed = (_difference(level) for levels in found.values() for level in levels)
    return tuple(sorted(listed, key=lambda difference: difference.path))


def _difference(level: Any) -> Difference:
    from deepdiff.helper import NotPresent, notpresent  # noqa: PLC0415 - see the module

    sides = (
        ABSENT if side is notpresent or isinstance(side, NotPresent) else side
        for side in (level.t1, level.t2)
    )
    return Difference(_worded(level.path(output_format="list")), *map(_unkeyed, sides))


def _keyed(value: Any) -> Any:
    """Turn lists of named entries into maps, so that an entry keeps its identity when it moves."""
    if isinstance(value, Mapping):
        return {key: _keyed(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        names = [item.get("name") for item in value if isinstance(item, Mapping)]
        items = [_keyed(item) for item in value]
        unique = len({name for name in names if isinstance(name, str)}) == len(items) > 0
        return dict(zip(map(_Name, names), items, strict=True)) if unique else items
    return value


def _unkeyed(value: Any) -> Any:
    if isinstance(value, dict):
        items = {key: _unkeyed(item) for key, item in value.items()}
        named = any(isinstance(key, _Name) for key in items)
        return list(items.values()) if named else items
    return [_unkeyed(item) for item in value] if isinstance(value, list) else value


class _Name(str):
    """The name of a list's entry, so that a path shows it in brackets."""

    __slots__ = ()


def _worded(path: Sequence[Any]) -> str:
    return "".join(_segments(path)).removeprefix(".")


def _segments(path: Sequence[Any]) -> Iterator[str]:
    for part in path:
        plain = isinstance(part, str) and not isinstance(part, _Name) and part.isidentifier()
        yield f".{part}" if plain else f"[{part}]"


_INLINE: Final = 72
"""Characters of a value that are shown in line."""

_CONTEXT: Final = 12
"""Characters kept in front of the place where two long texts begin to differ."""

_MOST_LINES: Final = 12
_WIDEST_LINE: Final = 160
_COMPARED_LINES: Final = 400
"""Comparing lines costs their square, so of a huge text only the part at the change is compared."""

_COMPARED_NESTED: Final = 20_000
"""The same for nested values, in characters of JSON."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line below a field: `sign` is `+`, `-`, `~` or a blank."""

    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class Wording:
    """A field change: `sign`, what stands behind the path, and the lines below."""

    sign: str
    head: str
    lines: tuple[Line, ...] = ()


def word(change: FieldChange) -> Wording:
    """Word a change of one field."""
    return _word(change.before, change.after)


def _word(before: Any, after: Any) -> Wording:
    if before is ABSENT or after is ABSENT:
        return _one_sided(before, after)
    if before == after and type(before) is type(after):
        return Wording(" ", f"{_short(before)} stays, but is no longer declared here")
    if isinstance(before, str) and isinstance(after, str):
        return _texts(before, after)
    if isinstance(before, dict | list) and type(before) is type(after):
        return Wording("~", "", _cut(_nested(before, after)))
    return Wording("~", f"{_short(before)} → {_short(after)}")


def _one_sided(before: Any, after: Any) -> Wording:
    sign, value = ("+", after) if before is ABSENT else ("-", before)
    if isinstance(value, str) and "\n" in value:
        return Wording(sign, "", _cut(Line(sign, line) for line in value.split("\n")))
    if isinstance(value, dict | list) and len(_json(value)) > _INLINE:
        pretty = json.dumps(value, indent=2, ensure_ascii=False).split("\n")
        return Wording(sign, "", _cut(Line(sign, line) for line in pretty))
    return Wording(sign, _short(value))


def _texts(before: str, after: str) -> Wording:
    if "\n" in before or "\n" in after:
        return Wording("~", "", _cut(_line_diff(before.split("\n"), after.split("\n"))))
    start = max(0, _same_start(before, after) - _CONTEXT)
    if max(len(before), len(after)) <= _INLINE:
        start = 0
    return Wording("~", f"{_window(before, start)} → {_window(after, start)}")


def _window(text: str, start: int) -> str:
    front = "…" if start else ""
    back = "…" if len(text) > start + _INLINE else ""
    return quoted(front + text[start : start + _INLINE] + back)


def _nested(before: Any, after: Any) -> Iterator[Line]:
    if len(_json(before)) + len(_json(after)) > _COMPARED_NESTED:
        sides = (json.dumps(side, indent=1, ensure_ascii=False) for side in (before, after))
        old, new = (side.split("\n") for side in sides)
        yield from _line_diff(old, new)
        return
    for difference in differences(before, after):
        yield _nested_line(difference)


def _nested_line(difference: Difference) -> Line:
    wording = _word(difference.before, difference.after)
    sides = f"{_short(difference.before)} → {_short(difference.after)}"
    return Line(wording.sign, f"{difference.path}: {wording.head or sides}")


def _line_diff(before: list[str], after: list[str]) -> Iterator[Line]:
    same = _same_start(before, after)
    first = max(0, same - 1)
    old, new = (side[first : first + _COMPARED_LINES] for side in (before, after))
    if first:
        yield Line(" ", "…")
    for line in list(difflib.unified_diff(old, new, n=1, lineterm=""))[3:]:
        yield Line(" ", "…") if line.startswith("@@") else Line(line[0], line[1:])
    if first + _COMPARED_LINES < max(len(before), len(after)):
        yield Line(" ", "… and what follows")


def _same_start(before: Sequence[str], after: Sequence[str]) -> int:
    pairs = enumerate(zip(before, after, strict=False))
    return next((at for at, (old, new) in pairs if old != new), min(len(before), len(after)))


def _cut(lines: Iterator[Line]) -> tuple[Line, ...]:
    """Keep the first lines, escaped and of bearable width, and say how many are left out."""
    listed = list(lines)
    shown = [Line(line.sign, _narrow(visible(line.text))) for line in listed[:_MOST_LINES]]
    rest = len(listed) - len(shown)
    return (*shown, *([Line(" ", f"… {rest} more lines")] if rest else []))


def _narrow(text: str) -> str:
    return text if len(text) <= _WIDEST_LINE else text[:_WIDEST_LINE] + "…"


def _short(value: Any) -> str:
    if value is ABSENT:
        return "(absent)"
    if isinstance(value, str):
        return _window(value, 0)
    text = visible(_json(value))
    return text if len(text) <= _INLINE else text[:_INLINE] + "…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
