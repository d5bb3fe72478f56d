"""Escapes untrusted text for terminals and Markdown, and colours text.

On a terminal, control characters are replaced by escapes. In Markdown, untrusted text is code, in a
span or in a fence that its content cannot close. Backslashes are not enough: GitHub searches the
rendered text for @mentions, #12 and commits, except in code.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_CONTROL_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: controls, direction and joining marks, surrogates, line separators."""

_SHORT_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# In a log, GitHub obeys `##[error]` anywhere in a line, and `::error::` at its begin, after spaces.
_NOT_PLAIN: Final = re.compile(r"[^ -~]|(?<=#)#(?=\[)")
_COMMAND: Final = re.compile(r"^ *:(?=:)")


def escape_controls(text: str) -> str:
    """Escape control characters, ANSI sequences, direction overrides, line breaks and `##[`."""
    return _NOT_PLAIN.sub(_escape_character, text)


def escape_line(text: str) -> str:
    """Escape a text that is printed as a line of a log, where a CI system looks for commands."""
    return _COMMAND.sub(_escape_command, escape_controls(text))


def _escape_command(match: re.Match[str]) -> str:
    return f"{match[0][:-1]}{_escape_code_point(ord(match[0][-1]))}"


def quote_text(text: str) -> str:
    """Quote a value, so that its end is unambiguous."""
    return '"' + escape_controls(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def escape_json_controls(document: str) -> str:
    r"""Replace control characters and `##[` in JSON text by equivalent `\u` escapes.

    Line breaks are kept, since in JSON text they are layout.
    """
    return _NOT_PLAIN.sub(_escape_json_character, document)


def _escape_character(match: re.Match[str]) -> str:
    char = match[0]
    if char != "#" and unicodedata.category(char) not in _CONTROL_CATEGORIES:
        return char
    return _SHORT_ESCAPES.get(char) or _escape_code_point(ord(char))


def _escape_code_point(point: int) -> str:
    if point <= 0xFF:  # noqa: PLR2004 - the range that two hexadecimal digits cover
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"  # noqa: PLR2004


def _escape_json_character(match: re.Match[str]) -> str:
    char = match[0]
    if char == "\n":
        return char
    if char != "#" and unicodedata.category(char) not in _CONTROL_CATEGORIES:
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


_RESET: Final = "\x1b[0m"
_COLOUR_CODES: Final = {
    "+": "\x1b[32m",
    "~": "\x1b[33m",
    "-/+": "\x1b[35m",
    "-": "\x1b[31m",
    "!": "\x1b[36m",
    "bold": "\x1b[1m",
    "dim": "\x1b[2m",
}


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How text is formatted; `verbose` also shows unchanged objects."""

    colour: bool = False
    verbose: bool = False

    def paint(self, style: str, text: str) -> str:
        """Colour a text in the style of a symbol, `bold` or `dim`; other styles are ignored."""
        if not self.colour or not text or style not in _COLOUR_CODES:
            return text
        return f"{_COLOUR_CODES[style]}{text}{_RESET}"


_MAX_WIDTH: Final = 200
_BACKTICK_RUNS: Final = re.compile("`+")
_PLAIN_PROSE: Final = re.compile(
    r"(?:[A-Za-z'(),;.?-]|\s|:(?=\s|$)|(?<![^\s(])[0-9]{1,5}(?![^\s(),;.:]))*"
)
_AUTOLINK: Final = re.compile(r"www\.", re.IGNORECASE)


def format_code_span(text: str, max_width: int = _MAX_WIDTH) -> str:
    """Format a text as a code span, cut to `max_width` characters."""
    shown = truncate_text(escape_controls(text), max_width)
    if not shown.strip():
        return "(empty)"
    ticks = "`" * (longest_backtick_run(shown) + 1)
    # Markdown strips one space on each side, so a text may begin or end with a backtick.
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def format_html_code(text: str, max_width: int = _MAX_WIDTH) -> str:
    """Format a text as code inside an HTML block, where Markdown does not apply."""
    return f"<code>{html.escape(truncate_text(escape_controls(text), max_width))}</code>"


def format_prose(text: str, max_width: int = 2 * _MAX_WIDTH) -> str:
    """Format a sentence: text in backticks is code, plain words are kept, all else is code.

    Messages of this program stay readable; text that they quote cannot become Markdown.
    """
    shown = truncate_text(escape_controls(text), max_width)
    parts = [
        _format_prose_part(part, quoted=bool(at % 2))
        for at, part in enumerate(shown.split("`"))
        if part
    ]
    # Two adjacent spans would be read as one that ends elsewhere.
    touching = any(a[-1] == b[0] == "`" for a, b in pairwise(parts))
    return format_code_span(shown, max_width + 1) if touching else "".join(parts)


def longest_backtick_run(text: str) -> int:
    """Return the length of the longest run of backticks."""
    return max((len(run) for run in _BACKTICK_RUNS.findall(text)), default=0)


def truncate_text(text: str, max_width: int) -> str:
    """Cut a text to a width, and show that it was cut."""
    return text if len(text) <= max_width else text[:max_width] + "…"


def _format_prose_part(part: str, *, quoted: bool) -> str:
    if not part.strip():
        return part
    if not quoted and _PLAIN_PROSE.fullmatch(part) and not _AUTOLINK.search(part):
        return part
    front, back = (" " if part[at] == " " else "" for at in (0, -1))
    return f"{front}{format_code_span(part.strip())}{back}"


_MAX_LINES: Final = 150
_MAX_LINE_WIDTH: Final = 300
_MAX_BYTES: Final = 8_000
"""So that a session of a few large objects still fits into a comment."""

_MIN_FENCE_LENGTH: Final = 3


def format_code_fence(lines: Iterable[str], language: str) -> Iterator[str]:
    """Format lines as a code fence; long lines are cut, and lines above the limit are counted."""
    shown, rest = _limit_lines(lines)
    if rest:
        shown.append(f" … {rest} more lines")
    ticks = "`" * max(_MIN_FENCE_LENGTH, 1 + _longest_run_in_lines(shown))
    yield f"{ticks}{language}"
    yield from shown
    yield ticks


def _limit_lines(lines: Iterable[str]) -> tuple[list[str], int]:
    """Take the first lines, each cut to a width, and count the others."""
    shown: list[str] = []
    rest, available_bytes = 0, _MAX_BYTES
    for line in lines:
        cut = truncate_text(line, _MAX_LINE_WIDTH)
        available_bytes -= len(cut.encode())
        if rest or available_bytes < 0 or len(shown) == _MAX_LINES:
            rest += 1
        else:
            shown.append(cut)
    return shown, rest


def _longest_run_in_lines(lines: Sequence[str]) -> int:
    return max(map(longest_backtick_run, lines), default=0)
