"""Which paths the mirror leaves out: patterns in gitignore's syntax.

Left out unless a later pattern takes it in again (`DEFAULTS`): caches that tools fill by
themselves, what a killed git leaves behind, and what file systems put beside files. Dependencies
(`node_modules`, `.venv`), build output and `.git` are kept: they are work, or slow to have again.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from reconcile.mirror.errors import SettingsError

if TYPE_CHECKING:
    import re

    from pathspec import RegexPattern

DEFAULTS: tuple[str, ...] = (
    "__pycache__/",
    ".cache/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".npm/_cacache/",
    ".next/cache/",
    ".parcel-cache/",
    ".gradle/caches/",
    ".nfs*",
    ".fuse_hidden*",
    # A lock of a git that was killed would stop every git after the pod's next start.
    "**/.git/**/*.lock",
    "**/.git/gc.pid",
    "**/.git/objects/**/tmp_obj_*",
    "**/.git/objects/pack/tmp_*",
)

NEVER = frozenset({".reconcile-mirror-restoring", "lost+found"})
"""Left out at the root, whatever they are and whatever patterns say: what an unfinished restore
has put together, and what a new volume may hold. A restore could not put anything there."""


class Excludes:
    """Compiled patterns; a later one wins over an earlier one, `!` takes a path in again.

    Raises:
        SettingsError: a pattern makes no sense.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)
        check_all(patterns)
        self._names = frozenset[str]()
        self._heads: tuple[str, ...] = ()
        self._tails: tuple[str, ...] = ()
        self._any = False
        for pattern in self._patterns:
            self._admit(pattern)
        self._excluded = lru_cache(maxsize=20_000)(self._ask)
        self._compiled: tuple[RegexPattern, ...] | None = None

    def match(self, path: str, name: str, *, directory: bool) -> bool:
        """Tell whether `path`, whose last part is `name`, is left out.

        What is below an excluded directory is not asked for. Most names are told apart from every
        pattern by their last part alone, without a regular expression.
        """
        if path in NEVER:
            return True
        if (
            name in self._names
            or name.startswith(self._heads)
            or name.endswith(self._tails)
            or self._any
        ):
            return self._excluded(f"{path}/" if directory else path)
        return False

    def _admit(self, pattern: str) -> None:
        """Let through to the regular expressions what the pattern's last part may match."""
        last = pattern.rstrip("/").rpartition("/")[2].lstrip("!")
        if not pattern.strip() or pattern.startswith("#"):
            return
        if not _special(last):
            self._names |= {last}
        elif not _special(last[1:]) and last.startswith("*") and last != "*":
            self._tails += (last[1:],)
        elif not _special(last[:-1]) and last.endswith("*") and last != "*":
            self._heads += (last[:-1],)
        else:
            self._any = True

    def _ask(self, path: str) -> bool:
        if self._compiled is None:
            self._compiled = tuple(reversed(compiled(self._patterns)))
        # `.` and `$` of regular expressions treat a newline apart; here it is a letter.
        path = path.replace("\n", "\ufffe") if "\n" in path else path
        for pattern in self._compiled:
            found = pattern.match_file(path)
            if found is not None and _is_itself(found.match, path):
                return bool(pattern.include)
        return False


def _is_itself(match: "re.Match[str]", path: str) -> bool:
    """Tell a match of the entry from one of a directory above it, which was asked for before."""
    mark = match.re.groupindex.get("ps_d")
    return mark is None or match.start(mark) in {-1, len(path) - 1}


def _special(text: str) -> bool:
    return any(letter in text for letter in "*?[\\ ")


def compiled(patterns: Sequence[str]) -> "list[RegexPattern]":
    """Compile patterns, those that say anything; ValueError for one that makes no sense."""
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - slow, and rarely needed

    spec = GitIgnoreSpec.from_lines(patterns)
    return [pattern for pattern in spec.patterns if pattern.include is not None]


def check_all(patterns: Sequence[str]) -> None:
    """Raise SettingsError for the first pattern that makes no sense."""
    for number, pattern in enumerate(patterns, start=1):
        reason = problem(pattern)
        if reason:
            raise SettingsError(f"exclude pattern {number}, {pattern!r}: {reason}")


def problem(pattern: str) -> str:
    """Say what is wrong with a pattern, or nothing."""
    if "\n" in pattern or "\0" in pattern:
        return "it has a newline or NUL: give one pattern for each line"
    if pattern in DEFAULTS:
        return ""
    try:
        compiled([pattern])
    except ValueError as error:
        return f"it is no pattern of gitignore's: {error}"
    return ""
