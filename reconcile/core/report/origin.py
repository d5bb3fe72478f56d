"""What a plan was made of, in words: which tree, and what it was compared with."""

from typing import Final, assert_never

from reconcile.core.report.escape_part import visible
from reconcile.core.report.plan_report import Against, LiveCluster, OtherRevision

_DIRTY: Final = "-dirty"
_SHORT: Final = 12


def short(revision: str) -> str:
    """Shorten the name of a commit, as people quote it."""
    return visible(revision.removesuffix(_DIRTY)[:_SHORT])


def tree_words(revision: str) -> tuple[str, str]:
    """Say which tree this is: words of ours, then the commit, empty where there is none."""
    if not revision:
        return "a folder outside git", ""
    if revision.endswith(_DIRTY):
        return "work tree with uncommitted changes, on commit", short(revision)
    return "commit", short(revision)


def against_words(against: Against) -> tuple[str, str, str]:
    """Say what it was compared with: words of ours, the name that the user gave, the commit."""
    match against:
        case LiveCluster():
            return "live cluster", "", ""
        case OtherRevision(name, revision):
            return "", name, short(revision)
        case _:
            assert_never(against)
