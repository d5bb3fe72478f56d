"""Formats the values of a changed field: short ones inline, long ones as a diff.

This is the only module that imports DeepDiff, which finds the differences of nested values. It is
imported when first needed, since the import takes longer than a whole pass without changes.
"""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconcile.core.changes import ABSENT, FieldChange
from reconcile.core.report.escape import escape_controls, quote_text


@dataclass(frozen=True, slots=True)
class NestedDifference:
    """One difference; a missing side is `ABSENT`. `path` is relative and for display."""

    path: str
    before: Any
    after: Any


def find_nested_differences(before: Any, after: Any) -> tuple[NestedDifference, ...]:
    """List the differences; list entries that have a `name` are compared by it."""
    from deepdiff import DeepDiff  # noqa: PLC0415 - see the module

    sides = _align(_key_by_name(before), _key_by_name(after))
    levels_by_type = DeepDiff(*sides, view="tree", threshold_to_diff_deeper=0)
    listed = (_build_difference(level) for levels in levels_by_type.values() for level in levels)
    return tuple(sorted(listed, key=lambda difference: difference.path))


def _build_difference(level: Any) -> NestedDifference:
    from deepdiff.helper import NotPresent, notpresent  # noqa: PLC0415 - see the module

    sides = (
        ABSENT if side is notpresent or isinstance(side, NotPresent) else side
        for side in (level.t1, level.t2)
    )
    return NestedDifference(
        _format_path(level.path(output_format="list")), *map(_restore_lists, sides)
    )


def _key_by_name(value: Any) -> Any:
    """Turn lists of named entries into maps, so that an entry keeps its identity when it moves."""
    if isinstance(value, Mapping):
        return {key: _key_by_name(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        names = [item.get("name") for item in value if isinstance(item, Mapping)]
        items = [_key_by_name(item) for item in value]
        unique = len({name for name in names if isinstance(name, str)}) == len(items) > 0
        return dict(zip(map(_EntryName, names), items, strict=True)) if unique else items
    return value


def _align(before: Any, after: Any) -> tuple[Any, Any]:
    """Give both sides the same form: only where both have named entries, they are compared so."""
    match _is_keyed(before), _is_keyed(after):
        case True, False:
            return (before, {}) if after == [] else (_restore_lists(before), after)
        case False, True:
            return ({}, after) if before == [] else (before, _restore_lists(after))
        case _ if isinstance(before, dict) and isinstance(after, dict):
            pairs = {name: _align(before[name], after[name]) for name in before.keys() & after}
            return (
                before | {name: one for name, (one, _) in pairs.items()},
                after | {name: other for name, (_, other) in pairs.items()},
            )
        case _:
            return before, after


def _is_keyed(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(name, _EntryName) for name in value)


def _restore_lists(value: Any) -> Any:
    if isinstance(value, dict):
        items = {key: _restore_lists(item) for key, item in value.items()}
        return list(items.values()) if _is_keyed(value) else items
    return [_restore_lists(item) for item in value] if isinstance(value, list) else value


class _EntryName(str):
    """The name of a list's entry, so that a path shows it in brackets."""

    __slots__ = ()


def _format_path(path: Sequence[Any]) -> str:
    return "".join(_format_segments(path)).removeprefix(".")


def _format_segments(path: Sequence[Any]) -> Iterator[str]:
    for part in path:
        plain = isinstance(part, str) and not isinstance(part, _EntryName) and part.isidentifier()
        yield f".{part}" if plain else f"[{part}]"


_MAX_INLINE: Final = 72
"""The maximum number of characters of an inline value."""

_CONTEXT_CHARACTERS: Final = 12
"""Characters that are kept before the first difference of two long texts."""

_MAX_LINES: Final = 12
_MAX_LINE_WIDTH: Final = 160
_MAX_COMPARED_LINES: Final = 400
"""Comparing lines takes quadratic time, so only this many from the first change are compared."""

_MAX_COMPARED_CHARACTERS: Final = 20_000
"""The corresponding limit for nested values, in characters of JSON."""


@dataclass(frozen=True, slots=True)
class ValueLine:
    """One line below a field: `sign` is `+`, `-`, `~` or a space."""

    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class FormattedChange:
    """A field change: `sign`, the text after the path, and the lines below."""

    sign: str
    head: str
    lines: tuple[ValueLine, ...] = ()


def format_field_change(change: FieldChange) -> FormattedChange:
    """Format the change of one field."""
    return _format_values(change.before, change.after)


def _format_values(before: Any, after: Any) -> FormattedChange:
    if before is ABSENT or after is ABSENT:
        return _format_addition_or_removal(before, after)
    if before == after and type(before) is type(after):
        return FormattedChange(
            " ", f"{_format_inline(before)} is kept, but no longer declared here"
        )
    if isinstance(before, str) and isinstance(after, str):
        return _format_text_change(before, after)
    if isinstance(before, dict | list) and type(before) is type(after):
        return FormattedChange("~", "", _limit_lines(_format_nested(before, after)))
    return FormattedChange("~", f"{_format_inline(before)} → {_format_inline(after)}")


def _format_addition_or_removal(before: Any, after: Any) -> FormattedChange:
    sign, value = ("+", after) if before is ABSENT else ("-", before)
    if isinstance(value, str) and "\n" in value:
        return FormattedChange(
            sign, "", _limit_lines(ValueLine(sign, line) for line in value.split("\n"))
        )
    if isinstance(value, dict | list) and len(_to_json(value)) > _MAX_INLINE:
        pretty = json.dumps(value, indent=2, ensure_ascii=False).split("\n")
        return FormattedChange(sign, "", _limit_lines(ValueLine(sign, line) for line in pretty))
    return FormattedChange(sign, _format_inline(value))


def _format_text_change(before: str, after: str) -> FormattedChange:
    if "\n" in before or "\n" in after:
        return FormattedChange(
            "~", "", _limit_lines(_diff_lines(before.split("\n"), after.split("\n")))
        )
    start = max(0, _common_prefix_length(before, after) - _CONTEXT_CHARACTERS)
    if max(len(before), len(after)) <= _MAX_INLINE:
        start = 0
    return FormattedChange("~", f"{_excerpt(before, start)} → {_excerpt(after, start)}")


def _excerpt(text: str, start: int) -> str:
    front = "…" if start else ""
    back = "…" if len(text) > start + _MAX_INLINE else ""
    return quote_text(front + text[start : start + _MAX_INLINE] + back)


def _format_nested(before: Any, after: Any) -> Iterator[ValueLine]:
    if len(_to_json(before)) + len(_to_json(after)) > _MAX_COMPARED_CHARACTERS:
        sides = (json.dumps(side, indent=1, ensure_ascii=False) for side in (before, after))
        old, new = (side.split("\n") for side in sides)
        yield from _diff_lines(old, new)
        return
    for difference in find_nested_differences(before, after):
        yield _format_nested_line(difference)


def _format_nested_line(difference: NestedDifference) -> ValueLine:
    formatted = _format_values(difference.before, difference.after)
    sides = f"{_format_inline(difference.before)} → {_format_inline(difference.after)}"
    return ValueLine(formatted.sign, f"{difference.path}: {formatted.head or sides}")


def _diff_lines(before: list[str], after: list[str]) -> Iterator[ValueLine]:
    same = _common_prefix_length(before, after)
    first = max(0, same - 1)
    old, new = (side[first : first + _MAX_COMPARED_LINES] for side in (before, after))
    if first:
        yield ValueLine(" ", "…")
    for line in list(difflib.unified_diff(old, new, n=1, lineterm=""))[3:]:
        yield ValueLine(" ", "…") if line.startswith("@@") else ValueLine(line[0], line[1:])
    if first + _MAX_COMPARED_LINES < max(len(before), len(after)):
        yield ValueLine(" ", "… and further lines")


def _common_prefix_length(before: Sequence[str], after: Sequence[str]) -> int:
    pairs = enumerate(zip(before, after, strict=False))
    return next((at for at, (old, new) in pairs if old != new), min(len(before), len(after)))


def _limit_lines(lines: Iterator[ValueLine]) -> tuple[ValueLine, ...]:
    """Keep the first lines, escaped and cut to a width, and count the omitted ones."""
    listed = list(lines)
    shown = [
        ValueLine(line.sign, _truncate_line(escape_controls(line.text)))
        for line in listed[:_MAX_LINES]
    ]
    rest = len(listed) - len(shown)
    return (*shown, *([ValueLine(" ", f"… {rest} more lines")] if rest else []))


def _truncate_line(text: str) -> str:
    return text if len(text) <= _MAX_LINE_WIDTH else text[:_MAX_LINE_WIDTH] + "…"


def _format_inline(value: Any) -> str:
    if value is ABSENT:
        return "(absent)"
    if isinstance(value, str):
        return _excerpt(value, 0)
    text = escape_controls(_to_json(value))
    return text if len(text) <= _MAX_INLINE else text[:_MAX_INLINE] + "…"


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
