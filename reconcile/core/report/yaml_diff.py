"""Values as lines of YAML, each of them whole: what diffs are made of.

Two texts of lines as one: what goes, what comes, and what stays around it.

Of an object only what changes: its fields before and after, below their parents, as YAML.
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
"""Words that readers of YAML 1.1 take for booleans."""

_FIRST_KEYS: Final = ("apiVersion", "kind", "metadata")


class EmptyParent(Enum):
    """A place that is shown only to say where something is, and has nothing in it."""

    EMPTY_PARENT = "bare"


EMPTY_PARENT: Final = EmptyParent.EMPTY_PARENT


@dataclass(frozen=True, slots=True)
class CommentedValue:
    """A value with a comment behind it."""

    value: Any
    comment: str


@dataclass(frozen=True, slots=True)
class YamlLine:
    """One line; `is_text` tells that it is part of a text of many lines."""

    text: str
    is_text: bool = False


def dump_mapping(value: Mapping[str, Any]) -> tuple[YamlLine, ...]:
    """Write a mapping as lines; nothing in them acts on a terminal."""
    return tuple(_dump_block(value, ""))


def dump_object(obj: Mapping[str, Any]) -> tuple[YamlLine, ...]:
    """Write an object as lines, what it is first."""
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
    # The first line of a mapping or a list stands behind the dash.
    first, *rest = _dump_block(value, margin + "  ")
    yield replace(first, text=f"{margin}- {first.text[len(margin) + 2 :]}")
    yield from rest


def _dump_text(head: str, text: str, margin: str) -> Iterator[YamlLine]:
    lines = text.removesuffix("\n").split("\n")
    shown = [_escape_line(line) for line in lines]
    spelt = "  # control characters are spelt out" if shown != lines else ""
    yield YamlLine(f"{head} |{_block_indicators(text)}{spelt}")
    for line in shown:
        yield YamlLine(f"{margin}{line}" if line else "", is_text=True)


def _block_indicators(text: str) -> str:
    """Say what YAML cannot tell by itself: how deep the text is indented, and how it ends."""
    depth = "2" if text[0] in " \t\n" else ""
    if not text.endswith("\n"):
        return f"{depth}-"
    return f"{depth}+" if text.endswith("\n\n") or text == "\n" else depth


def _escape_line(line: str) -> str:
    return "\t".join(escape_controls(part) for part in line.split("\t"))


def dump_scalar(value: Any) -> str:
    """Write a value in one line: text bare where every reader takes it for the same text."""
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
    ):  # pragma: no cover - begins with a sign or a digit, which `_PLAIN_SCALAR` bars
        return False


_MAX_COMPARED_LINES: Final = 1_000
"""Lines that are compared one by one; what is longer goes and comes as a whole."""

_CONTEXT_LINES: Final = 10
"""Lines kept around a change, enough for the parents of a field."""

_TEXT_CONTEXT_LINES: Final = 2
"""Lines of a long text that are kept on either side of a change in it."""


@dataclass(frozen=True, slots=True)
class LineEdit:
    """One line: `sign` is `+`, `-`, or a blank for what stays."""

    sign: str
    line: YamlLine

    def __str__(self) -> str:
        """The line as diffs have it."""
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
    """Show a text that was not there."""
    return tuple(_mark_all("+", whole))


def format_hunks(listed: Sequence[LineEdit]) -> Iterator[str]:
    """Write the hunks of a unified diff; nothing where nothing goes or comes."""
    old = new = 1
    at = 0
    for start, end in _hunk_spans(listed):
        stays = start - at
        old, new = old + stays, new + stays
        hunk = listed[start:end]
        goes = sum(edit.sign != "+" for edit in hunk)
        comes = sum(edit.sign != "-" for edit in hunk)
        yield f"@@ -{_format_range(old, goes)} +{_format_range(new, comes)} @@"
        yield from map(str, hunk)
        old, new, at = old + goes, new + comes, end


def omit_unchanged_text(listed: Sequence[LineEdit]) -> Iterator[str]:
    """Leave out what stays the same of long texts, and nothing else."""
    near = _near_changes(listed, _TEXT_CONTEXT_LINES)
    left_out = False
    for position, edit in enumerate(listed):
        if edit.line.is_text and position not in near:
            if not left_out:
                yield " …"
            left_out = True
        else:
            left_out = False
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


def _near_changes(listed: Sequence[LineEdit], reach: int) -> set[int]:
    changed = (at for at, edit in enumerate(listed) if edit.sign != " ")
    return {near for at in changed for near in range(at - reach, at + reach + 1)}


def _hunk_spans(listed: Sequence[LineEdit]) -> Iterator[tuple[int, int]]:
    """Yield where hunks begin and end."""
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
    """Word a hunk's place as diffs do: the line before it where it has none."""
    return f"{line if count else line - 1},{count}"


_RELEASED_COMMENT: Final = "stays, but is no longer declared here"


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
    """Gather changed fields below their common parents.

    An item of a list shows the fields that tell it from the others. A field of which only the words
    are known, or that does not fit to the others, stands for itself under its whole path.
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
    """Tell whether a mapping stays a mapping, and a list a list below a name."""
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
