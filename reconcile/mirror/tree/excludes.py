"""Which paths the mirror leaves out: patterns in gitignore's syntax."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from pathspec import GitIgnoreSpec


class Excludes:
    """Compiled patterns; a later one wins over an earlier one, `!` takes a path in again."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._excluded = _compiled(patterns)

    def match(self, path: str, *, directory: bool) -> bool:
        """Tell whether `path` is left out; what is below an excluded directory is not asked for."""
        return self._excluded(path, directory)


def _compiled(patterns: Sequence[str]) -> Callable[[str, bool], bool]:
    spec = GitIgnoreSpec.from_lines(patterns)

    @lru_cache(maxsize=65536)
    def excluded(path: str, directory: bool) -> bool:  # noqa: FBT001 - the key of a cache
        return spec.match_file(path + "/" if directory else path)

    return excluded
