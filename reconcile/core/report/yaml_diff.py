"""Diffs of YAML: values as lines, the comparison of lines, and fragments of changed fields.

A fragment has only the changed fields of an object and their parents, before and after.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import Enum
from typing import Any, Final, TypeAlias

from reconcile.core.changes import ABSENT, FieldChange
from reconcile.core.fields.field_path import FieldPath, ListItem, Segment
from reconcile.core.report.escape import escape_controls, escape_json_controls
from reconcile.core.yaml_loader import AmbiguousScalarError, resolve_scalar

_PLAIN_SCALAR: Final = re.compile(r"[A-Za-z_/](?:[A-Za-z0-9_./@+:=-]*[A-Za-z0-9_/])?")
_YAML_1_1_BOOLEANS: Final = frozenset({"y", "n", "yes", "no", "on", "off"})
"""Words that YAML 1.1 parsers read as booleans."""

_FIRST_KEYS: Final = ("apiVersion", "kind", "metadata")


class EmptyParent(Enum):
    """A parent that is shown for its position only, without content."""

    EMPTY_PARENT = "bare"


EMPTY_PARENT: Final = EmptyParent.EMPTY_PARENT


@dataclass(frozen=True, slots=True)
class CommentedValue:
    """A value that is followed by a comment."""

    value: Any
    comment: str


@dataclass(frozen=True, slots=True)
class YamlLine:
    """One line; `is_text` means that it is part of a multi-line text."""

    text: str
    is_text: bool = False


def dump_mapping(value: Mapping[str, Any]) -> tuple[YamlLine, ...]:
    """Format a mapping as lines, without control characters."""
    return tuple(_dump_block(value, ""))


def dump_object(obj: Mapping[str, Any]) -> tuple[YamlLine, ...]:
    """Format an object as lines, beginning with apiVersion, kind and metadata."""
    first = {name: obj[name] for name in _FIRST_KEYS if name in obj}
    return dump_mapping({**first, **obj})


def _dump_block(value: Mapping[str, Any] | Sequence[Any], margin: str) -> Iterator[YamlLine]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _dump_entry(f"{margin}{dump_scalar(key)}:", item, margin)
        return
    for item in value:
        yield from _dump_list_item(item, margin)


def _dump_entry(head: str, value: Any, margin: str) -> Iterator[YamlLine]:
    match value:
        case CommentedValue(inner, note):
            first, *rest = _dump_entry(head, inner, margin)
            yield replace(first, text=f"{first.text}  # {note}")
            yield from rest
        case EmptyParent():
            yield YamlLine(head)
        case dict() | list() if value:
            yield YamlLine(head)
            yield from _dump_block(value, margin + "  ")
        case str() if "\n" in value:
            yield from _dump_text(head, value, margin + "  ")
        case _:
            yield YamlLine(f"{head} {dump_scalar(value)}")


def _dump_list_item(value: Any, margin: str) -> Iterator[YamlLine]:
    if not isinstance(value, dict | list) or not value:
        yield from _dump_entry(f"{margin}-", value, margin)
        return
    # The first line of a mapping or a list follows the dash.
    first, *rest = _dump_block(value, margin + "  ")
    yield replace(first, text=f"{margin}- {first.text[len(margin) + 2 :]}")
    yield from rest


def _dump_text(head: str, text: str, margin: str) -> Iterator[YamlLine]:
    lines = text.removesuffix("\n").split("\n")
    shown = [_escape_line(line) for line in lines]
    note = "  # control characters are escaped" if shown != lines else ""
    yield YamlLine(f"{head} |{_block_indicators(text)}{note}")
    for line in shown:
        yield YamlLine(f"{margin}{line}" if line else "", is_text=True)


def _block_indicators(text: str) -> str:
    """Return the indicators of a block scalar: its indentation, and how it ends."""
    depth = "2" if text[0] in " \t\n" else ""
    if not text.endswith("\n"):
        return f"{depth}-"
    return f"{depth}+" if text.endswith("\n\n") or text == "\n" else depth


def _escape_line(line: str) -> str:
    return "\t".join(escape_controls(part) for part in line.split("\t"))


def dump_scalar(value: Any) -> str:
    """Format a value as one line: a text is unquoted if every parser reads it as that text."""
    if isinstance(value, str) and _is_plain(value):
        return value
    return escape_json_controls(json.dumps(value, ensure_ascii=False)).replace("\n", "\\n")


def _is_plain(text: str) -> bool:
    if not _PLAIN_SCALAR.fullmatch(text) or text.lower() in _YAML_1_1_BOOLEANS:
        return False
    try:
        return isinstance(resolve_scalar(text), str)
    except (
        AmbiguousScalarError
    ):  # pragma: no cover - begins with a sign or a digit, which `_PLAIN_SCALAR` excludes
        return False


_MAX_COMPARED_LINES: Final = 1_000
"""Longer texts are not compared line by line, but removed and added as a whole."""

_CONTEXT_LINES: Final = 10
"""Lines kept around a change, enough for the parents of a field."""

_TEXT_CONTEXT_LINES: Final = 2
"""Lines of a long text that are kept before and after a change in it."""


@dataclass(frozen=True, slots=True)
class LineEdit:
    """One line: `sign` is `+`, `-`, or a space for an unchanged line."""

    sign: str
    line: YamlLine

    def __str__(self) -> str:
        """Return the line in the format of a diff."""
        return self.sign + self.line.text


def diff_lines(before: Sequence[YamlLine], after: Sequence[YamlLine]) -> tuple[LineEdit, ...]:
    """Compare two texts, line by line."""
    front = _common_prefix_length(before, after)
    back = _common_prefix_length(before[front:][::-1], after[front:][::-1])
    old, new = (list(side[front : len(side) - back]) for side in (before, after))
    middle = (
        [*_mark_all("-", old), *_mark_all("+", new)]
        if _is_long(old, new)
        else _match_lines(old, new)
    )
    return (*_mark_all(" ", before[:front]), *middle, *_mark_all(" ", before[len(before) - back :]))


def mark_added(whole: Sequence[YamlLine]) -> tuple[LineEdit, ...]:
    """Mark all lines of a new text as added."""
    return tuple(_mark_all("+", whole))


def format_hunks(listed: Sequence[LineEdit]) -> Iterator[str]:
    """Yield the hunks of a unified diff; nothing if no line changes."""
    old = new = 1
    at = 0
    for start, end in _hunk_spans(listed):
        unchanged = start - at
        old, new = old + unchanged, new + unchanged
        hunk = listed[start:end]
        removed = sum(edit.sign != "+" for edit in hunk)
        added = sum(edit.sign != "-" for edit in hunk)
        yield f"@@ -{_format_range(old, removed)} +{_format_range(new, added)} @@"
        yield from map(str, hunk)
        old, new, at = old + removed, new + added, end


def omit_unchanged_text(listed: Sequence[LineEdit]) -> Iterator[str]:
    """Omit the unchanged lines of long texts only."""
    near = _near_changes(listed, _TEXT_CONTEXT_LINES)
    is_omitting = False
    for position, edit in enumerate(listed):
        if edit.line.is_text and position not in near:
            if not is_omitting:
                yield " …"
            is_omitting = True
        else:
            is_omitting = False
            yield str(edit)


def _mark_all(sign: str, side: Sequence[YamlLine]) -> Iterator[LineEdit]:
    return (LineEdit(sign, row) for row in side)


def _common_prefix_length(before: Sequence[YamlLine], after: Sequence[YamlLine]) -> int:
    pairs = enumerate(zip(before, after, strict=False))
    return next((at for at, (old, new) in pairs if old != new), min(len(before), len(after)))


def _is_long(old: Sequence[YamlLine], new: Sequence[YamlLine]) -> bool:
    return max(len(old), len(new)) > _MAX_COMPARED_LINES


def _match_lines(old: Sequence[YamlLine], new: Sequence[YamlLine]) -> Iterator[LineEdit]:
    matcher = SequenceMatcher(None, [row.text for row in old], [row.text for row in new])
    for tag, a1, a2, b1, b2 in matcher.get_opcodes():
        if tag == "equal":
            yield from _mark_all(" ", old[a1:a2])
        else:
            yield from _mark_all("-", old[a1:a2])
            yield from _mark_all("+", new[b1:b2])


def _near_changes(listed: Sequence[LineEdit], distance: int) -> set[int]:
    changed = (at for at, edit in enumerate(listed) if edit.sign != " ")
    return {near for at in changed for near in range(at - distance, at + distance + 1)}


def _hunk_spans(listed: Sequence[LineEdit]) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each hunk."""
    start = end = -1
    for at, edit in enumerate(listed):
        if edit.sign == " ":
            continue
        if start >= 0 and at - _CONTEXT_LINES > end:
            yield start, end
            start = -1
        start = max(0, at - _CONTEXT_LINES) if start < 0 else start
        end = min(len(listed), at + 1 + _CONTEXT_LINES)
    if start >= 0:
        yield start, end


def _format_range(line: int, count: int) -> str:
    """Format the range of a hunk; an empty one has the number of the line before it."""
    return f"{line if count else line - 1},{count}"


_RELEASED_COMMENT: Final = "is kept, but no longer declared here"


@dataclass(frozen=True, slots=True)
class Fragment:
    """The lines of an object's changed fields and their parents, before and after."""

    before: tuple[YamlLine, ...]
    after: tuple[YamlLine, ...]


@dataclass(frozen=True, slots=True)
class _Leaf:
    before: Any
    after: Any


_Branch: TypeAlias = dict[Segment, "_Leaf | _Branch"]


def build_fragment(fields: Iterable[FieldChange]) -> Fragment:
    """Build the changed fields below their common parents.

    An item of a list shows its key fields. A field without a structured path, or with one that
    conflicts with others, is shown under its whole path.
    """
    root: _Branch = {}
    for field in fields:
        leaf = _Leaf(field.before, field.after)
        if not field.field_path or not _insert_leaf(root, field.field_path, leaf):
            root[_unused_key(root, field.path)] = leaf
    return Fragment(
        dump_mapping(_build_map(root, after=False)), dump_mapping(_build_map(root, after=True))
    )


def _insert_leaf(root: _Branch, at: FieldPath, leaf: _Leaf) -> bool:
    node, above = root, at[0]
    for position, segment in enumerate(at):
        if not _fits(node, above if position else None, segment):
            return False
        if position == len(at) - 1:
            return node.setdefault(segment, leaf) is leaf
        below = node.setdefault(segment, {})
        if isinstance(below, _Leaf):
            return False
        node, above = below, segment
    raise AssertionError("a path has segments")  # pragma: no cover


def _fits(node: _Branch, above: Segment | None, segment: Segment) -> bool:
    """Return whether `segment` keeps `node` a mapping, or a list below a name."""
    is_name = isinstance(segment, str)
    if not is_name and not isinstance(above, str):
        return False
    return isinstance(next(iter(node), segment), str) is is_name


def _unused_key(root: _Branch, path: str) -> str:
    while path in root:
        path += " again"
    return path


def _build_map(branch: _Branch, *, after: bool) -> dict[str, Any]:
    sides = ((segment, _build_side(node, after=after)) for segment, node in branch.items())
    return {str(segment): value for segment, value in sides if value is not ABSENT}


def _build_side(node: _Leaf | _Branch, *, after: bool) -> Any:
    if isinstance(node, _Leaf):
        if _is_released(node):
            return CommentedValue(node.after, _RELEASED_COMMENT)
        return node.after if after else node.before
    named = all(isinstance(segment, str) for segment in node)
    return (
        _build_map(node, after=after) if named else _build_list(node, after=after)
    ) or EMPTY_PARENT


def _is_released(leaf: _Leaf) -> bool:
    return leaf.before == leaf.after and type(leaf.before) is type(leaf.after)


def _build_list(branch: _Branch, *, after: bool) -> list[Any]:
    items = (_build_item(segment, node, after=after) for segment, node in branch.items())
    return [item for item in items if item is not ABSENT]


def _build_item(segment: Segment, node: _Leaf | _Branch, *, after: bool) -> Any:
    below = _build_side(node, after=after)
    if isinstance(node, _Leaf) or not isinstance(segment, ListItem):
        return below
    return {**dict(segment.keys), **(below if isinstance(below, Mapping) else {})}
