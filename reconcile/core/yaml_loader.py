"""The YAML parser: converts text to plain values with positions, or reports every problem.

Values are built directly from the events of the C parser, since composing and constructing nodes
would be too slow for thousands of objects. Plain scalars follow the core schema of YAML 1.2; what
YAML parsers disagree about is refused.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NoReturn

from ruamel.yaml import events
from ruamel.yaml.cyaml import CParser
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from reconcile.core.errors import Problem, SpecError
from reconcile.core.source_location import (
    DocumentPath,
    Position,
    Positions,
    format_document_path,
    printable_excerpt,
)

_QUOTE: Final = "quote it if text is meant"
_MAY_BE_VALUE: Final = frozenset("-+.0123456789~tTfFnN")
_MAX_CACHED_LENGTH: Final = 40
_MAX_MODE_LENGTH: Final = 5
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_PREFIXED_INTEGER: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_KEYWORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class AmbiguousScalarError(ValueError):
    """A plain scalar that parsers read differently; the message says what to write instead."""


def resolve_scalar(text: str) -> Any:
    """Return the value of a plain scalar; AmbiguousScalarError says what to write instead."""
    if not text or text[0] in _MAY_BE_VALUE:
        return _resolve_cached(text) if len(text) <= _MAX_CACHED_LENGTH else _resolve_uncached(text)
    return text


def _resolve_uncached(text: str) -> Any:
    if text in _KEYWORDS:
        return _KEYWORDS[text]
    if _INTEGER.fullmatch(text):
        return _parse_integer(text)
    if _PREFIXED_INTEGER.fullmatch(text):
        return _check_64_bits(int(text, 0))
    if _FLOAT.fullmatch(text):
        return _parse_float(text)
    if _NOT_FINITE.fullmatch(text):
        raise AmbiguousScalarError(f"infinite and undefined numbers cannot be stored: {_QUOTE}")
    return text


_resolve_cached: Final = lru_cache(maxsize=4096)(_resolve_uncached)


def _parse_integer(text: str) -> int:
    digits = text.lstrip("-+")
    if digits[0] == "0" and len(digits) > 1:
        raise AmbiguousScalarError(_leading_zero_message(text, digits))
    # Python refuses to parse thousands of digits, which are out of range anyway.
    return _check_64_bits(int(text) if len(digits) < _MAX_CACHED_LENGTH else 1 << 64)


def _leading_zero_message(text: str, digits: str) -> str:
    # The advice repeats the number, so it is given only for one as short as a file mode.
    if len(digits) > _MAX_MODE_LENGTH or set(digits) & set("89") or text != digits:
        return f"a number may not begin with 0: leave the zeros out, or {_QUOTE}"
    octal = int(digits, 8)
    return f"readers disagree about numbers like this: write {octal} or 0o{octal:o}, or {_QUOTE}"


def _check_64_bits(number: int) -> int:
    if not -(1 << 63) <= number < 1 << 63:
        raise AmbiguousScalarError(f"this number does not fit into 64 bits: {_QUOTE}")
    return number


def _parse_float(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise AmbiguousScalarError(f"this number is too large: {_QUOTE}")
    return number


MAX_BYTES: Final = 1 << 20
"""The maximum size of a text in bytes, and of the characters that its aliases may add."""

MAX_DEPTH: Final = 32
"""The maximum nesting depth of mappings and lists."""

MAX_NODES: Final = 50_000
"""The maximum number of values and keys of a text, including those repeated by aliases."""

MAX_PROBLEMS: Final = 50
"""After this many problems the rest of a text is not parsed."""

_TAB: Final = "a tab cannot indent: use spaces"
_ESCAPE: Final = "write the character itself in place of this escape"
_HINTS: Final = (
    ("mapping values are not allowed", "wrong indentation, or text with `: ` in it: quote it"),
    ("cannot start any token", "text may not begin with this character: quote it"),
    ("did not find expected key", "wrong indentation, or text behind a closing quote"),
    ("did not find expected '-'", "wrong indentation, or a list item without `- `"),
    ("expected ',' or ']'", "a `[` that is not closed, or a missing comma"),
    ("expected ',' or '}'", "a `{` that is not closed, or a missing comma"),
    ("did not find expected node content", "a `[` or `{` that is not closed, or a stray comma"),
    ("unexpected end of stream", "a quote that is not closed"),
    ("Unicode character escape", _ESCAPE),
    ("unknown escape character", "write `\\\\` for a backslash, or use single quotes"),
    ("could not find expected ':'", "a line that is neither `key: value` nor part of a text"),
    ("expected <document start>", "`---` is missing between two documents"),
)
_DIRECTIVE: Final = re.compile(r"(?:\A|(?<=[\n\r\x85\u2028\u2029]))%")
_LAST_LINE_OF_SPACES: Final = re.compile(r"\n +\Z")
# A plain scalar that begins with `?`, and an anchor whose name has a character of 1.2.
_QUESTION: Final = re.compile(r"(?:\A|(?<=[\s,\[{:\"'\]}]))\?[^\s,\[\]{}]")
_ANCHOR: Final = re.compile(r"(?:\A|(?<=[\s,\[{:\"'\]}]))&[0-9A-Za-z_-]+[:?]")
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)


@dataclass(frozen=True, slots=True)
class Document:
    """One document: plain values and their positions.

    `value` is None for an empty document. Aliases share their value: do not modify it.
    """

    value: Any
    positions: Positions


def decode_utf8(content: bytes, path: str = "") -> str:
    """Decode UTF-8, with or without a mark; SpecError for other bytes, or if it is too large."""
    if len(content) > MAX_BYTES:
        raise SpecError((_too_large_problem(path, len(content)),))
    content = content.removeprefix(b"\xef\xbb\xbf")  # editors write it, and YAML 1.2 allows it
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        message = "begins with a byte order mark of UTF-16: save it as UTF-8"
        raise SpecError((Problem(path, 1, 1, "", message),))
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line, column = _position_after(content[: error.start].decode())
        message = f"is not UTF-8: byte 0x{content[error.start]:02x} does not belong here"
        raise SpecError((Problem(path, line, column, "", message),)) from None


def load_documents(text: str, path: str = "") -> tuple[Document, ...]:
    """Build the values of every document in `text`; a text that has only comments has none.

    `path` names the text in messages. SpecError has every problem: invalid YAML, and YAML that
    parsers disagree about or that is often a mistake.
    """
    if len(text) > MAX_BYTES:
        raise SpecError((_too_large_problem(path, len(text)),))
    directive = _DIRECTIVE.search(text) if "%" in text else None
    if directive:
        message = "directives (`%`) are not supported: remove the line"
        raise SpecError((Problem(path, *_position_after(text[: directive.start()]), "", message),))
    if text.endswith(" ") and _LAST_LINE_OF_SPACES.search(text):
        text += "\n"  # or a block scalar that ends there would lose its last line break
    builder = _build(path, text)
    if builder.problems:
        raise SpecError(tuple(builder.problems))
    return tuple(builder.documents)


def _build(path: str, text: str) -> "_DocumentBuilder":
    """Read a text with the C parser, and with the one in Python where the C parser is wrong."""
    builder = _DocumentBuilder(path)
    try:
        builder.run(CParser(text).get_event)
    except _StopError:
        return builder
    except (YAMLError, ValueError) as error:
        problem = _parse_problem(path, text, error)
        may_be_valid = isinstance(error, MarkedYAMLError) and not problem.message.endswith(_TAB)
        second = _build_slowly(path, text) if may_be_valid else None
        # The parser that read further than the other knows the true error.
        if second and (not second.is_invalid or second.problems[-1].line > problem.line):
            return second
        builder.problems.append(problem)
        return builder
    return _build_slowly(path, text) if _is_misread(text) else builder


def _build_slowly(path: str, text: str) -> "_DocumentBuilder":
    from reconcile.core.yaml_python_parser import parse_events  # noqa: PLC0415

    builder = _DocumentBuilder(path)
    try:
        builder.run(parse_events(text).__next__)
    except _StopError:
        pass
    except (YAMLError, ValueError, OverflowError) as error:
        builder.is_invalid = True
        builder.problems.append(_parse_problem(path, text, error))
    return builder


def _is_misread(text: str) -> bool:
    """Whether the C parser, which follows YAML 1.1, may read other values than are written."""
    return ("?" in text and _QUESTION.search(text) is not None) or (
        "&" in text and _ANCHOR.search(text) is not None
    )


class _StopError(Exception):
    """Stops the parser; the reason is in the list of problems."""


class _DocumentBuilder:
    """Builds values from parser events, innermost container first."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.documents: list[Document] = []
        self.is_invalid = False
        self._nodes = 0
        self._repeated = 0
        self._begin(None)

    def run(self, next_event: Callable[[], Any]) -> None:
        """Process every event; raises the parser's errors."""
        handlers: Mapping[type, Callable[[Any], None]] = {
            events.ScalarEvent: self._scalar,
            events.AliasEvent: self._alias,
            events.MappingStartEvent: self._open_mapping,
            events.SequenceStartEvent: self._open_list,
            events.MappingEndEvent: self._close,
            events.SequenceEndEvent: self._close,
            events.DocumentStartEvent: self._begin,
            events.DocumentEndEvent: self._end,
            events.StreamStartEvent: self._begin,
        }
        while type(event := next_event()) is not events.StreamEndEvent:
            handlers[type(event)](event)

    def _begin(self, _event: Any) -> None:
        # A document is built like a list of one item.
        self._container: Any = []
        self._key: str | None = None
        self._stack: list[tuple[Any, str | None, Any]] = []
        self._marks: list[Any] = []
        self._aliases: set[int] = set()
        self._anchors: dict[str, Any] = {}

    def _end(self, _event: Any) -> None:
        value = self._container[0]
        positions = Positions(value, self._marks, frozenset(self._aliases))
        self.documents.append(Document(value, positions))

    def _scalar(self, event: Any) -> None:
        self._check_tag(event)
        value: Any = event.value
        if not event.style:
            try:
                value = resolve_scalar(value)
            except AmbiguousScalarError as error:
                self._add_problem(event, str(error))
        elif "\0" in value:
            self._add_problem(event, "has a NUL character, which Kubernetes cannot store")
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        self._add(event, value)

    def _open_mapping(self, event: Any) -> None:
        self._open(event, {})

    def _open_list(self, event: Any) -> None:
        self._open(event, [])

    def _open(self, event: Any, container: Any) -> None:
        self._check_tag(event)
        if len(self._stack) >= MAX_DEPTH:
            self._stop(event, f"is nested deeper than {MAX_DEPTH} levels")
        self._stack.append((self._container, self._key, event))
        self._container = container
        self._key = None

    def _close(self, _event: Any) -> None:
        value = self._container
        self._container, self._key, event = self._stack.pop()
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        self._add(event, value)

    def _alias(self, event: Any) -> None:
        name = event.anchor
        if name not in self._anchors:
            # The name is not repeated: it may be a password that the user forgot to quote.
            self._stop(event, "this alias has no anchor before it: quote text that begins with `*`")
        value = self._anchors[name]
        nodes, characters = _count_nodes_and_characters(value)
        self._nodes += nodes
        self._repeated += characters
        if self._repeated > MAX_BYTES:
            self._stop(event, f"aliases repeat more than {MAX_BYTES} characters")
        self._aliases.add(len(self._marks))
        self._count(event)
        self._add(event, value)

    def _check_tag(self, event: Any) -> None:
        if event.ctag is not None:
            self._add_problem(event, "has a YAML tag (`!`): remove it, or quote the text")
        self._count(event)

    def _count(self, event: Any) -> None:
        self._marks.append(event.start_mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(event, f"has more than {MAX_NODES} values, those of aliases included")

    def _add(self, event: Any, value: Any) -> None:
        if type(self._container) is list:
            self._container.append(value)
        elif self._key is None:
            self._key = self._check_key(event, value)
        else:
            self._container[self._key] = value
            self._key = None

    def _check_key(self, event: Any, key: Any) -> str:
        if not isinstance(key, str):
            self._add_problem(event, "a key must be text: quote it")
            return ""
        self._key = key
        if key == "<<":
            self._add_problem(event, "merge keys (`<<`) are not supported: write the fields out")
        elif key in self._container:
            self._add_problem(event, f"key `{printable_excerpt(key)}` occurs twice")
        return key

    def _add_problem(self, event: Any, message: str) -> None:
        mark = event.start_mark
        place = format_document_path(self._current_path())
        self.problems.append(Problem(self.path, mark.line + 1, mark.column + 1, place, message))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _StopError

    def _stop(self, event: Any, message: str) -> NoReturn:
        self._add_problem(event, message)
        raise _StopError

    def _current_path(self) -> DocumentPath:
        frames = [(container, key) for container, key, _ in self._stack]
        frames.append((self._container, self._key))
        steps = (len(frame) if type(frame) is list else key for frame, key in frames[1:])
        return tuple(step for step in steps if step is not None)


def _count_nodes_and_characters(value: Any) -> tuple[int, int]:
    """Count the nodes and the characters that repeating `value` adds."""
    nodes, characters, stack = 0, 0, [value]
    while stack:
        item = stack.pop()
        nodes += 1
        if isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, str):
            characters += len(item)
    return nodes, characters


def _parse_problem(path: str, text: str, error: Exception) -> Problem:
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        detail = str(error.problem or error.context)
        is_tab = text[mark.index : mark.index + 1] == "\t"
        hint = _TAB if is_tab else next((hint for words, hint in _HINTS if words in detail), detail)
        return Problem(path, mark.line + 1, mark.column + 1, "", f"is not valid YAML: {hint}")
    match = _UNPRINTABLE.search(text)
    line, column = _position_after(text[: match.start()]) if match else (1, 1)
    name = f"U+{ord(match[0]):04X}" if match else "unknown"
    return Problem(path, line, column, "", f"has a control character ({name}): remove it")


def _position_after(before: str) -> Position:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _too_large_problem(path: str, size: int) -> Problem:
    return Problem(path, 0, 0, "", f"is too large: {size} bytes, and {MAX_BYTES} are allowed")
