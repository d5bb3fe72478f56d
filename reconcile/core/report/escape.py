"""Foreign text within a line of Markdown: as code, which neither links, mentions nor formats.

Escaping by backslashes is not enough: GitHub looks for @mentions, #12 and commits in what has been
rendered, and leaves out code alone.
"""

import html
import re
from itertools import pairwise
from typing import Final

from reconcile.core.report.escape_part import visible

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
