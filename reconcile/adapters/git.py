"""Asks git which commit a folder is at, and what a name for a commit means."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconcile.adapters.sources.git import git
from reconcile.core.errors import SourceError

_TOP_PREFIX_SHALLOW: Final = 3


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where a folder is in its repository: the work tree's top, and the path below it.

    `prefix` uses `/` and is empty at the top. `shallow` tells that history is cut off.
    """

    top: Path
    prefix: str
    shallow: bool


def revision_of(folder: Path) -> str:
    """Name the commit that a folder was checked out from.

    Ends in `-dirty` where something in the folder is not as committed; empty outside of git, and
    where there is no git.
    """
    head = git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not head.ok or not head.text:
        return ""
    changed = git(folder, "status", "--porcelain", "--untracked-files=all", "--", ".")
    return head.text if changed.ok and not changed.out else f"{head.text}-dirty"


def checkout_of(folder: Path) -> Checkout:
    """Find the work tree that a folder is in; SourceError where there is none, or no git."""
    asked = ("--show-toplevel", "--show-prefix", "--is-shallow-repository")
    answer = git(folder, "rev-parse", *asked)
    lines = answer.text.split("\n")
    if not answer.ok or len(lines) != _TOP_PREFIX_SHALLOW:
        raise SourceError(
            f"{folder}: there is no git work tree, or no git program, so that there is nothing to "
            "compare with: run this in a clone, or leave out --against"
        )
    top, prefix, shallow = lines
    return Checkout(Path(top), prefix.rstrip("/"), shallow == "true")


def commit_of(checkout: Checkout, name: str) -> str:
    """Look up a commit by any name that git knows; SourceError with what to do where there is none.

    A name that begins with `-` is none: git would take it for an option.
    """
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    answer = git(checkout.top, *asked) if name and not name.startswith("-") else None
    if answer is not None and answer.ok and answer.text:
        return answer.text
    if checkout.shallow:
        remedy = (
            "this clone is shallow: get more of its history with `git fetch --depth=100 origin "
            "BRANCH`, or all of it with `git fetch --unshallow`"
        )
    else:
        remedy = "name a branch, a tag or a commit of this clone; `git fetch` gets what it lacks"
    raise SourceError(f"`{name}` is no commit here: {remedy}")
