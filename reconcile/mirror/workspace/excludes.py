"""Which paths the mirror leaves out: patterns in gitignore's syntax.

Left out unless a later pattern takes it in again (`DEFAULT_EXCLUDES`): caches that tools fill by
themselves, what a killed git leaves behind, and what file systems put beside files. Dependencies
(`node_modules`, `.venv`), build output and `.git` are kept: they are work, or slow to have again.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconcile.mirror.errors import SettingsError

if TYPE_CHECKING:
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

DEFAULT_EXCLUDES: tuple[str, ...] = (
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

_TRAILING_BLANKS = re.compile(r"(?<!\\)[ \t]+$")

ALWAYS_EXCLUDED = frozenset({".reconcile-mirror-restoring", "lost+found"})
"""Left out at the root, whatever they are and whatever patterns say: what an unfinished restore
has put together, and what a new volume may hold. A restore could not put anything there."""


class Excludes:
    """Compiled patterns; a later one wins over an earlier one, `!` takes a path in again.

    Raises:
        SettingsError: a pattern makes no sense.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)
        check_patterns(patterns)
        self._names = frozenset[str]()
        self._prefixes: tuple[str, ...] = ()
        self._suffixes: tuple[str, ...] = ()
        self._needs_regex = False
        for pattern in self._patterns:
            self._index_pattern(pattern)
        self._is_excluded = lru_cache(maxsize=20_000)(self._match_rules)
        self._rules: list[ExcludeRule] | None = None

    def is_excluded(self, path: str, name: str, *, directory: bool) -> bool:
        """Tell whether `path`, whose last part is `name`, is left out.

        What is below an excluded directory is not asked for. Most names are told apart from every
        pattern by their last part alone, without a regular expression.
        """
        if path in ALWAYS_EXCLUDED:
            return True
        if (
            name in self._names
            or name.startswith(self._prefixes)
            or name.endswith(self._suffixes)
            or self._needs_regex
        ):
            return self._is_excluded(f"{path}/" if directory else path)
        return False

    def _index_pattern(self, pattern: str) -> None:
        """Let through to the regular expressions what the pattern's last part may match."""
        last = pattern.rstrip("/").rpartition("/")[2].lstrip("!")
        if not pattern.strip() or pattern.startswith("#"):
            return
        if not _has_wildcard(last):
            self._names |= {last}
        elif not _has_wildcard(last[1:]) and last.startswith("*") and last != "*":
            self._suffixes += (last[1:],)
        elif not _has_wildcard(last[:-1]) and last.endswith("*") and last != "*":
            self._prefixes += (last[:-1],)
        else:
            self._needs_regex = True

    def _match_rules(self, path: str) -> bool:
        if self._rules is None:
            self._rules = compile_patterns(self._patterns)
        # `.` and `$` of regular expressions treat a newline apart; here it is a letter.
        name = path.rstrip("/").replace("\n", "\ufffe")
        directory = path.endswith("/")
        for rule in reversed(self._rules):
            if (directory or not rule.directories_only) and rule.matches(name):
                return bool(rule.pattern.include)
        return False


def _has_wildcard(text: str) -> bool:
    return any(letter in text for letter in "*?[\\ ")


class ExcludeRule(Struct, frozen=True):
    """One pattern, without the slash at its end if it is for `directories_only` alone."""

    pattern: "GitIgnoreSpecPattern"
    directories_only: bool

    def matches(self, path: str) -> bool:
        """Tell whether it is for this very path, not for a directory above."""
        found: Any = self.pattern.match_file(path)
        return found is not None and not found.match.groupdict().get("ps_d")


def compile_patterns(patterns: Sequence[str]) -> list[ExcludeRule]:
    """Compile patterns, of which the last that matches counts; ValueError for one without sense.

    The library's own order prefers what matches a file to what matches a directory, git does not.
    """
    from pathspec import GitIgnoreSpec

    rules = []
    for line in patterns:
        text = _TRAILING_BLANKS.sub("", line)
        directories = text.endswith("/")
        bare = text.rstrip("/")
        found = GitIgnoreSpec.from_lines([bare]).patterns if bare else ()
        rules += [ExcludeRule(one, directories) for one in found if one.include is not None]
    return rules


def check_patterns(patterns: Sequence[str]) -> None:
    """Raise SettingsError for the first pattern that makes no sense."""
    for number, pattern in enumerate(patterns, start=1):
        reason = find_pattern_error(pattern)
        if reason:
            raise SettingsError(f"exclude pattern {number}, {pattern!r}: {reason}")


def find_pattern_error(pattern: str) -> str:
    """Say what is wrong with a pattern, or nothing."""
    if "\n" in pattern or "\0" in pattern:
        return "it has a newline or NUL: give one pattern for each line"
    if pattern in DEFAULT_EXCLUDES:
        return ""
    try:
        compile_patterns([pattern])
    except ValueError as error:
        return f"it is no pattern of gitignore's: {error}"
    return ""
