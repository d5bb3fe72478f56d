"""The line and column of a value in a YAML text, and its path for messages."""

import re
from typing import Any, Final, TypeAlias

DocumentPath: TypeAlias = tuple[str | int, ...]
"""The path of a value: keys of mappings and indices of lists."""

Position: TypeAlias = tuple[int, int]
"""Line and column, both from 1."""

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Positions:
    """The position of every key and value of a document; computed only when it is needed."""

    def __init__(self, value: Any, marks: list[Any], aliases: frozenset[int]) -> None:
        self._value = value
        self._marks = marks
        self._aliases = aliases
        self._next = 0
        self._keys: dict[DocumentPath, Position] = {}
        self._values: dict[DocumentPath, Position] = {}

    def key(self, path: DocumentPath) -> Position:
        """The position of a mapping's key, or of the value if `path` ends in an index."""
        self._index()
        return self._keys.get(path) or self.value(path)

    def value(self, path: DocumentPath) -> Position:
        """The position of a value, or of the nearest enclosing value that the text has."""
        self._index()
        while path not in self._values:
            path = path[:-1]
        return self._values[path]

    def _index(self) -> None:
        if not self._values:
            self._walk(self._value, ())

    def _walk(self, value: Any, path: DocumentPath) -> None:
        # The marks are in the order of the text, as the values are.
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
    """Format a path for messages: `spec.repos[0].url`, `metadata.labels[a.b/c]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w-]{1,60}", step, re.ASCII):
            text += f".{step}"
        else:
            text += f"[{printable_excerpt(step)}]"
    return text.removeprefix(".")


def printable_excerpt(text: str, limit: int = 60) -> str:
    """Cut untrusted text to one short line without control characters."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], cut)
