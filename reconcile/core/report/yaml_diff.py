"""Values as lines of YAML, each of them whole: what diffs are made of."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from reconcile.core.report.escape_part import json_safe, visible
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
        yield from _item(item, margin)


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


def _item(value: Any, margin: str) -> Iterator[Row]:
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
