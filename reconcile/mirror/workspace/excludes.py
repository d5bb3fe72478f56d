"""Which paths the mirror excludes: patterns in gitignore syntax.

Excluded by default, unless a later pattern includes them again (`DEFAULT_EXCLUDES`): caches that
tools fill by themselves, lock and temporary files of a killed git, and files that file systems
create. Dependencies (`node_modules`, `.venv`), build output and `.git` are not excluded: they are
work, or slow to create again.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

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
    # The lock of a killed git would stop every git command after the pod's next start.
    "**/.git/**/*.lock",
    "**/.git/gc.pid",
    "**/.git/objects/**/tmp_obj_*",
    "**/.git/objects/pack/tmp_*",
)

_TRAILING_BLANKS = re.compile(r"(?<!\\)[ \t]+$")

STAGING_DIR: Final = ".reconcile-mirror-restoring"
"""The staging directory of a restore, in the volume; it is never in a snapshot."""

CLONING_DIR: Final = ".reconcile-runner-cloning"
"""Where `reconcile-runner prepare` clones; a clone is renamed to its place when it is complete."""

ALWAYS_EXCLUDED = frozenset({STAGING_DIR, CLONING_DIR, "lost+found"})
"""Excluded at the root, whatever their type and the patterns: staging directories, and the
directory that a new volume may have. A restore cannot write anything there."""


class ProtectedFolders(Struct, frozen=True):
    """Directories that are stored whatever the patterns are.

    Attributes:
        paths: The directories. Those above them are stored too, but not what else is in these.
        excludes: What is excluded inside of them all the same.
    """

    paths: tuple[str, ...]
    excludes: "Excludes"

    def keep(self, path: str, name: str, *, directory: bool) -> bool:
        """Whether a path is stored although a pattern matches it."""
        if any(path == each or each.startswith(f"{path}/") for each in self.paths):
            return True
        return self.contain(path) and not self.excludes.is_excluded(path, name, directory=directory)

    def contain(self, path: str) -> bool:
        """Whether a path is below one of them."""
        return any(path.startswith(f"{each}/") for each in self.paths)

    def parents(self) -> frozenset[str]:
        """Return the directories above them, without the root."""
        parts = (path.split("/") for path in self.paths)
        return frozenset("/".join(each[:end]) for each in parts for end in range(1, len(each)))


class Excludes:
    """Compiled patterns; a later one overrides an earlier one, `!` includes a path again.

    Args:
        patterns: The patterns.
        protected: Directories that no pattern excludes.

    Raises:
        SettingsError: A pattern is invalid.
    """

    def __init__(self, patterns: Sequence[str], protected: ProtectedFolders | None = None) -> None:
        self._patterns = tuple(patterns)
        check_patterns(patterns)
        self._protected = protected
        self._names = frozenset[str]()
        self._prefixes: tuple[str, ...] = ()
        self._suffixes: tuple[str, ...] = ()
        self._needs_regex = False
        for pattern in self._patterns:
            self._index_pattern(pattern)
        self._is_excluded = lru_cache(maxsize=20_000)(self._match_rules)
        self._rules: list[ExcludeRule] | None = None
        self._opened = set[str]()
        """Excluded directories that are entered, since a protected one is in them."""
        for path in sorted(protected.parents() if protected else ()):
            if path.rpartition("/")[0] in self._opened or self._match_rules(f"{path}/"):
                self._opened.add(path)

    def is_excluded(self, path: str, name: str, *, directory: bool) -> bool:
        """Whether `path`, whose last component is `name`, is excluded.

        Do not call it for paths below an excluded directory. For most paths the last component
        shows that no pattern can match, without a regular expression.
        """
        if path in ALWAYS_EXCLUDED:
            return True
        matches = bool(self._opened) and path.rpartition("/")[0] in self._opened
        if not matches and (
            name in self._names
            or name.startswith(self._prefixes)
            or name.endswith(self._suffixes)
            or self._needs_regex
        ):
            matches = self._is_excluded(f"{path}/" if directory else path)
        if not matches or self._protected is None:
            return matches
        return not self._protected.keep(path, name, directory=directory)

    def find_ineffective(self) -> list[str]:
        """Return the patterns that match a protected directory, and so do not exclude it."""
        paths = self._protected.paths if self._protected else ()
        own = (pattern for pattern in self._patterns if pattern not in DEFAULT_EXCLUDES)
        alone = ((pattern, Excludes([pattern])) for pattern in own)
        return [
            pattern
            for pattern, excludes in alone
            if any(excludes._match_path(path) for path in paths)  # noqa: SLF001 - of this class
        ]

    def _match_path(self, path: str) -> bool:
        """Whether a directory or one above it matches."""
        parts = path.split("/")
        return any(self._match_rules("/".join(parts[: end + 1]) + "/") for end in range(len(parts)))

    def _index_pattern(self, pattern: str) -> None:
        """Add the names that the pattern's last component may match, for a regex check later."""
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
        # `.` and `$` of regular expressions treat a newline specially; in a name it is a character.
        name = path.rstrip("/").replace("\n", "\ufffe")
        directory = path.endswith("/")
        for rule in reversed(self._rules):
            if (directory or not rule.directories_only) and rule.matches(name):
                return bool(rule.pattern.include)
        return False


def _has_wildcard(text: str) -> bool:
    return any(character in text for character in "*?[\\ ")


class ExcludeRule(Struct, frozen=True):
    """One pattern; the slash at its end is removed and becomes `directories_only`."""

    pattern: "GitIgnoreSpecPattern"
    directories_only: bool

    def matches(self, path: str) -> bool:
        """Whether it matches the path itself, not only a parent directory."""
        result: Any = self.pattern.match_file(path)
        return result is not None and not result.match.groupdict().get("ps_d")


def compile_patterns(patterns: Sequence[str]) -> list[ExcludeRule]:
    """Compile patterns in order, the last match counts; ValueError if one is invalid.

    The library itself prefers a match of a file to one of a directory, which git does not.
    """
    from pathspec import GitIgnoreSpec

    rules = []
    for line in patterns:
        text = _TRAILING_BLANKS.sub("", line)
        directories = text.endswith("/")
        bare = text.rstrip("/")
        parsed = GitIgnoreSpec.from_lines([bare]).patterns if bare else ()
        rules += [ExcludeRule(each, directories) for each in parsed if each.include is not None]
    return rules


def check_patterns(patterns: Sequence[str]) -> None:
    """Raise SettingsError for the first invalid pattern."""
    for number, pattern in enumerate(patterns, start=1):
        reason = find_pattern_error(pattern)
        if reason:
            raise SettingsError(f"exclude pattern {number}, {pattern!r}: {reason}")


def find_pattern_error(pattern: str) -> str:
    """Return what is wrong with a pattern, empty if it is valid."""
    if "\n" in pattern or "\0" in pattern:
        return "it contains a newline or NUL: give one pattern per line"
    if pattern in DEFAULT_EXCLUDES:
        return ""
    try:
        compile_patterns([pattern])
    except ValueError as error:
        return f"it is not a gitignore pattern: {error}"
    return ""
