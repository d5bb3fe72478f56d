"""Where a value stands in a text, and how its place is worded for people."""

import re
from typing import Any, Final, TypeAlias

DocumentPath: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys of mappings and indices of lists."""

Position: TypeAlias = tuple[int, int]
"""Line and column, both from 1."""

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Positions:
    """Where every key and value of a document stands; looked up only when something is wrong."""

    def __init__(self, value: Any, marks: list[Any], aliases: frozenset[int]) -> None:
        self._value = value
        self._marks = marks
        self._aliases = aliases
        self._next = 0
        self._keys: dict[DocumentPath, Position] = {}
        self._values: dict[DocumentPath, Position] = {}

    def key(self, path: DocumentPath) -> Position:
        """The place of a mapping's key; of the value where `path` ends in an index."""
        self._index()
        return self._keys.get(path) or self.value(path)

    def value(self, path: DocumentPath) -> Position:
        """The place of a value, or of the nearest one around it that the text has."""
        self._index()
        while path not in self._values:
            path = path[:-1]
        return self._values[path]

    def _index(self) -> None:
        if not self._values:
            self._walk(self._value, ())

    def _walk(self, value: Any, path: DocumentPath) -> None:
        # The marks are in the order of the text, which is that of the values.
        is_alias = self._next in self._aliases
        self._values[path] = self._next_position()
        if is_alias:
            return
        if isinstance(value, dict):
            for key, child in value.items():
                self._keys[*path, key] = self._next_position()
                self._walk(child, (*path, key))
        elif isinstance(value, list):
            for index, child in enumerate(value):
                self._walk(child, (*path, index))

    def _next_position(self) -> Position:
        mark = self._marks[self._next]
        self._next += 1
        return mark.line + 1, mark.column + 1


def format_document_path(path: DocumentPath) -> str:
    """Word a path as people write it: `spec.repos[0].url`, `metadata.labels[a.b/c]`."""
    words = ""
    for step in path:
        if isinstance(step, int):
            words += f"[{step}]"
        elif re.fullmatch(r"[\w-]{1,60}", step, re.ASCII):
            words += f".{step}"
        else:
            words += f"[{printable_excerpt(step)}]"
    return words.removeprefix(".")


def printable_excerpt(text: str, limit: int = 60) -> str:
    """Cut a text that comes from outside to one short line without control characters."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], cut)
