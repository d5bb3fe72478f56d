"""Foreign text within a line of Markdown: as code, which neither links, mentions nor formats.

Escaping by backslashes is not enough: GitHub looks for @mentions, #12 and commits in what has been
rendered, and leaves out code alone.

Text that cannot act on a terminal: whatever steers it is spelt out instead.

Colour on a terminal, or none.

Lines in a fence that nothing inside of it can close.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: controls, direction and joining marks, half characters, line separators."""

_SPELT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SUSPECT: Final = re.compile(r"[^ -~]")


def visible(text: str) -> str:
    """Spell out control characters, ANSI escapes, direction overrides and line breaks."""
    return _SUSPECT.sub(_spell, text)


def quoted(text: str) -> str:
    """Put a value in quotes, so that where it ends is beyond doubt."""
    return '"' + visible(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def json_safe(document: str) -> str:
    r"""Spell out what steers a terminal in JSON text, as `\u` escapes that mean the same.

    Line breaks stay: in JSON text they are layout.
    """
    return _SUSPECT.sub(_spell_json, document)


def _spell(match: re.Match[str]) -> str:
    char = match[0]
    if unicodedata.category(char) not in _STEERING:
        return char
    return _SPELT.get(char) or _code(ord(char))


def _code(point: int) -> str:
    if point <= 0xFF:  # noqa: PLR2004 - the range that two hexadecimal digits cover
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"  # noqa: PLR2004


def _spell_json(match: re.Match[str]) -> str:
    char = match[0]
    if char == "\n" or unicodedata.category(char) not in _STEERING:
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


_RESET: Final = "\x1b[0m"
_CODES: Final = {
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
    """How text is laid out: `verbose` shows what is unchanged too."""

    colour: bool = False
    verbose: bool = False

    def paint(self, style: str, text: str) -> str:
        """Colour a text in the style of a symbol, `bold` or `dim`; as it is for any other."""
        if not self.colour or not text or style not in _CODES:
            return text
        return f"{_CODES[style]}{text}{_RESET}"


_WIDEST: Final = 200
_RUNS: Final = re.compile("`+")
_HARMLESS: Final = re.compile(
    r"(?:[A-Za-z'(),;.?-]|\s|:(?=\s|$)|(?<![^\s(])[0-9]{1,5}(?![^\s(),;.:]))*"
)
_LINKED: Final = re.compile(r"www\.", re.IGNORECASE)


def code(text: str, widest: int = _WIDEST) -> str:
    """Show a text as it is, in a code span; what is wider than `widest` characters is cut."""
    shown = narrow(visible(text), widest)
    if not shown.strip():
        return "(empty)"
    ticks = "`" * (longest_run(shown) + 1)
    # One blank on each side is taken off again, so a text may begin or end with a backtick.
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def code_tag(text: str, widest: int = _WIDEST) -> str:
    """The same where Markdown does not reach: inside of an HTML block."""
    return f"<code>{html.escape(narrow(visible(text), widest))}</code>"


def prose(text: str, widest: int = 2 * _WIDEST) -> str:
    """Show a sentence: code where it has backticks, words of letters as they are, the rest as code.

    Our own sentences read as they are meant; what was quoted in them cannot become Markdown.
    """
    shown = narrow(visible(text), widest)
    parts = [_part(part, quoted=bool(at % 2)) for at, part in enumerate(shown.split("`")) if part]
    # Two spans side by side would be read as one that ends elsewhere.
    touching = any(a[-1] == b[0] == "`" for a, b in pairwise(parts))
    return code(shown, widest + 1) if touching else "".join(parts)


def longest_run(text: str) -> int:
    """Count the backticks of the longest run of them."""
    return max((len(run) for run in _RUNS.findall(text)), default=0)


def narrow(text: str, widest: int) -> str:
    """Cut a text to a width, and show that it was cut."""
    return text if len(text) <= widest else text[:widest] + "…"


def _part(part: str, *, quoted: bool) -> str:
    if not part.strip():
        return part
    if not quoted and _HARMLESS.fullmatch(part) and not _LINKED.search(part):
        return part
    front, back = (" " if part[at] == " " else "" for at in (0, -1))
    return f"{front}{code(part.strip())}{back}"


_MOST_LINES: Final = 150
_WIDEST_LINE: Final = 300
_MOST_BYTES: Final = 8_000
"""So that a session of a few large objects still fits into a comment."""

_SHORTEST: Final = 3


def fence(lines: Iterable[str], language: str) -> Iterator[str]:
    """Put lines into a fence; long lines are cut, and what is too much is counted."""
    shown, rest = _bounded(lines)
    if rest:
        shown.append(f" … {rest} more lines")
    ticks = "`" * max(_SHORTEST, 1 + _longest(shown))
    yield f"{ticks}{language}"
    yield from shown
    yield ticks


def _bounded(lines: Iterable[str]) -> tuple[list[str], int]:
    """Take the first lines, each cut to a width, and count the others."""
    shown: list[str] = []
    rest, room = 0, _MOST_BYTES
    for line in lines:
        cut = narrow(line, _WIDEST_LINE)
        room -= len(cut.encode())
        if rest or room < 0 or len(shown) == _MOST_LINES:
            rest += 1
        else:
            shown.append(cut)
    return shown, rest


def _longest(lines: Sequence[str]) -> int:
    return max(map(longest_run, lines), default=0)
