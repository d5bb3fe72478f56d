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
from reconcile.core.fields.field_path import Item, Path, Segment
from reconcile.core.report.escape import json_safe, visible
from reconcile.core.yaml_loader import AmbiguousError, resolve

_PLAIN: Final = re.compile(r"[A-Za-z_/](?:[A-Za-z0-9_./@+:=-]*[A-Za-z0-9_/])?")
_OTHER_READERS: Final = frozenset({"y", "n", "yes", "no", "on", "off"})
"""Words that readers of YAML 1.1 take for booleans."""

_FIRST: Final = ("apiVersion", "kind", "metadata")


class Bare(Enum):
    """A place that is shown only to say where something is, and has nothing in it."""

    BARE = "bare"


BARE: Final = Bare.BARE


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with a comment behind it."""

    value: Any
    note: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line; `prose` tells that it is part of a text of many lines."""

    text: str
    prose: bool = False


def rows(value: Mapping[str, Any]) -> tuple[Row, ...]:
    """Write a mapping as lines; nothing in them acts on a terminal."""
    return tuple(_block(value, ""))


def whole_rows(obj: Mapping[str, Any]) -> tuple[Row, ...]:
    """Write an object as lines, what it is first."""
    first = {name: obj[name] for name in _FIRST if name in obj}
    return rows({**first, **obj})


def _block(value: Mapping[str, Any] | Sequence[Any], margin: str) -> Iterator[Row]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(f"{margin}{scalar(key)}:", item, margin)
        return
    for item in value:
        yield from _row_item(item, margin)


def _entry(head: str, value: Any, margin: str) -> Iterator[Row]:
    match value:
        case Noted(inner, note):
            first, *rest = _entry(head, inner, margin)
            yield replace(first, text=f"{first.text}  # {note}")
            yield from rest
        case Bare():
            yield Row(head)
        case dict() | list() if value:
            yield Row(head)
            yield from _block(value, margin + "  ")
        case str() if "\n" in value:
            yield from _text(head, value, margin + "  ")
        case _:
            yield Row(f"{head} {scalar(value)}")


def _row_item(value: Any, margin: str) -> Iterator[Row]:
    if not isinstance(value, dict | list) or not value:
        yield from _entry(f"{margin}-", value, margin)
        return
    # The first line of a mapping or a list stands behind the dash.
    first, *rest = _block(value, margin + "  ")
    yield replace(first, text=f"{margin}- {first.text[len(margin) + 2 :]}")
    yield from rest


def _text(head: str, text: str, margin: str) -> Iterator[Row]:
    lines = text.removesuffix("\n").split("\n")
    shown = [_visible_line(line) for line in lines]
    spelt = "  # control characters are spelt out" if shown != lines else ""
    yield Row(f"{head} |{_indicators(text)}{spelt}")
    for line in shown:
        yield Row(f"{margin}{line}" if line else "", prose=True)


def _indicators(text: str) -> str:
    """Say what YAML cannot tell by itself: how deep the text is indented, and how it ends."""
    depth = "2" if text[0] in " \t\n" else ""
    if not text.endswith("\n"):
        return f"{depth}-"
    return f"{depth}+" if text.endswith("\n\n") or text == "\n" else depth


def _visible_line(line: str) -> str:
    return "\t".join(visible(part) for part in line.split("\t"))


def scalar(value: Any) -> str:
    """Write a value in one line: text bare where every reader takes it for the same text."""
    if isinstance(value, str) and _is_plain(value):
        return value
    return json_safe(json.dumps(value, ensure_ascii=False)).replace("\n", "\\n")


def _is_plain(text: str) -> bool:
    if not _PLAIN.fullmatch(text) or text.lower() in _OTHER_READERS:
        return False
    try:
        return isinstance(resolve(text), str)
    except AmbiguousError:  # pragma: no cover - begins with a sign or a digit, which `_PLAIN` bars
        return False


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


_RELEASED: Final = "stays, but is no longer declared here"


@dataclass(frozen=True, slots=True)
class Fragment:
    """The lines of an object's changed fields and their parents, before and after."""

    before: tuple[Row, ...]
    after: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class _Leaf:
    before: Any
    after: Any


_Branch: TypeAlias = dict[Segment, "_Leaf | _Branch"]


def fragment(fields: Iterable[FieldChange]) -> Fragment:
    """Gather changed fields below their common parents.

    An item of a list shows the fields that tell it from the others. A field of which only the words
    are known, or that does not fit to the others, stands for itself under its whole path.
    """
    root: _Branch = {}
    for field in fields:
        leaf = _Leaf(field.before, field.after)
        if not field.at or not _put(root, field.at, leaf):
            root[_free(root, field.path)] = leaf
    return Fragment(rows(_map(root, after=False)), rows(_map(root, after=True)))


def _put(root: _Branch, at: Path, leaf: _Leaf) -> bool:
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


def _free(root: _Branch, path: str) -> str:
    while path in root:
        path += " again"
    return path


def _map(branch: _Branch, *, after: bool) -> dict[str, Any]:
    sides = ((segment, _side(node, after=after)) for segment, node in branch.items())
    return {str(segment): value for segment, value in sides if value is not ABSENT}


def _side(node: _Leaf | _Branch, *, after: bool) -> Any:
    if isinstance(node, _Leaf):
        if _is_released(node):
            return Noted(node.after, _RELEASED)
        return node.after if after else node.before
    named = all(isinstance(segment, str) for segment in node)
    return (_map(node, after=after) if named else _list(node, after=after)) or BARE


def _is_released(leaf: _Leaf) -> bool:
    return leaf.before == leaf.after and type(leaf.before) is type(leaf.after)


def _list(branch: _Branch, *, after: bool) -> list[Any]:
    items = (_item(segment, node, after=after) for segment, node in branch.items())
    return [item for item in items if item is not ABSENT]


def _item(segment: Segment, node: _Leaf | _Branch, *, after: bool) -> Any:
    below = _side(node, after=after)
    if isinstance(node, _Leaf) or not isinstance(segment, Item):
        return below
    return {**dict(segment.keys), **(below if isinstance(below, Mapping) else {})}
