"""What the comment says: the diff as it was printed, or why there is none."""

import re
from typing import Final
from urllib.parse import quote

from reconcile.ci.ports import Ended

LIMIT: Final = 65_536
"""What a comment on GitHub holds, in bytes, the strictest way to count; others hold more."""

ERRORS_FROM: Final = 2
"""Exit codes from here on mean that something is wrong; 1 means changes."""

SMALLEST: Final = 5_000
"""The least limit: what `diff` takes at least, and room for the marker."""

_DIGEST: Final = re.compile(r"^Plan digest: `(sha256:[0-9a-f]{64})`$", re.MULTILINE)
_NAMED: Final = 200
_LINES: Final = 60
_LINE: Final = 300


def marker_of(folder: str, *, live: bool) -> str:
    """Make the hidden first line by which the comment is found again.

    It depends on what was asked and not on what the files say, so that a run which cannot read
    them finds the comment as well.
    """
    kind = "live review" if live else "review"
    return f"<!-- reconcile {kind}: {quote(folder, safe='/._')[-_NAMED:]} -->"


def limit_of(limit: int, marker: str) -> int:
    """Leave room for the marker in what the comment may hold."""
    return limit - len(marker) - 1


def body_of(marker: str, ended: Ended, limit: int) -> str:
    """Make the comment from how the diff ended; what printed nothing is told in our own words."""
    shown = ended.out.strip()
    if not shown:
        shown = _failed(ended)
    return f"{marker}\n{_cut(shown, limit_of(limit, marker))}"


def digest_of(ended: Ended) -> str:
    """Find the plan digest, which stands at the end on its line; empty where the diff failed."""
    found = _DIGEST.findall(ended.out) if ended.code < ERRORS_FROM else []
    return found[-1] if found else ""


def _failed(ended: Ended) -> str:
    said = [line[:_LINE] for line in ended.err.strip().splitlines()] or ["It said nothing."]
    hidden = len(said) - _LINES
    if hidden > 0:
        said = [f"({hidden} lines before)", *said[-_LINES:]]
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", "\n".join(said))), default=0))
    words = "\n".join(said)
    return (
        "### reconcile: no diff\n\n"
        "What this change does is not known: "
        f"`reconcile diff` ended with exit code {ended.code}.\n\n"
        f"{fence}text\n{words}\n{fence}"
    )


def _cut(text: str, limit: int) -> str:
    """Refuse to lose anything unsaid: what is too long is replaced, since a cut may end a fence."""
    if len(text.encode()) <= limit:
        return text
    return "### reconcile: no diff\n\nThe diff is longer than a comment may be; see the job's log."
