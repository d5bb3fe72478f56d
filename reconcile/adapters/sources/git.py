"""Asks git which commit a folder is at, what the work tree lacks, and what a name means.

The checkout is trusted with its files, but may not run programs: see `runtime.git`.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconcile.core.errors import SourceError
from reconcile.runtime.git import (
    NOT_STARTED,
    GitRepository,
    GitResult,
    find_tracked_link,
    find_work_tree,
)
from reconcile.runtime.settings import build_child_environ, read_process_settings


def run_git(folder: Path, *arguments: str, stdin: bytes = b"") -> GitResult:
    """Run one git command in a folder of a checkout, without network.

    A clone that lacks objects does not fetch them.
    """
    return _open_repository(folder).run(*arguments, stdin=stdin)


def _open_repository(folder: Path) -> GitRepository:
    here = Path(os.path.realpath(folder))
    return GitRepository(find_work_tree(here) or here, here, _build_environment())


def _build_environment() -> dict[str, str]:
    """Leave out the variables that git sets for hooks: they name the hook's own repository."""
    inherited = build_child_environ(read_process_settings().environ).items()
    kept = {name: value for name, value in inherited if not name.startswith("GIT_")}
    # The variable wins over the configuration, where `protocol.<name>.allow` may say otherwise.
    return {**kept, "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": ""}


_EXPECTED_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where a folder is in its repository: the top of the work tree, and the path below it.

    `prefix` uses `/` and is empty at the top. `is_shallow` is true for a shallow clone.
    """

    top: Path
    prefix: str
    is_shallow: bool


def read_revision(folder: Path) -> str:
    """Return the commit that a folder was checked out from.

    Ends in `-dirty` where the folder has uncommitted changes, or files that git ignores although
    they are read; empty outside of a git work tree and without git.
    """
    head = run_git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not head.ok or not head.text:
        return ""
    options = ("--porcelain", "-z", "--untracked-files=all", "--ignored", "--ignore-submodules=all")
    repository = _open_repository(folder)
    changed = repository.status(*options, "--", ".")
    entries = changed.text.split("\0")
    is_clean = changed.ok and not any(_is_read(repository.top, entry) for entry in entries)
    return head.text if is_clean else f"{head.text}-dirty"


def _is_read(top: Path, entry: str) -> bool:
    """Whether an entry of `git status` is something that we read: git may ignore a session file."""
    ignored = entry.removeprefix("!! ")
    if ignored == entry:
        return bool(entry)
    if not ignored.endswith("/"):
        return _is_yaml(ignored)
    try:
        return any(_is_yaml(each.name) for each in os.scandir(top / ignored))
    except OSError:
        return True


def _is_yaml(name: str) -> bool:
    return name.lower().endswith((".yaml", ".yml")) and not Path(name).name.startswith(".")


def resolve_folder(folder: Path) -> Path:
    """Return the real path of a folder that the user names.

    OSError if it does not exist, SourceError if a link that a commit contains leads to it.
    """
    link = find_tracked_link(folder, _build_environment())
    if link is not None:
        raise SourceError(f"{folder}: {link} {IS_LINK}")
    return folder.resolve(strict=True)


IS_LINK: Final = (
    "is a link in a git work tree, which is not followed: put the files themselves there"
)
"""The message for a link that a commit contains or may contain."""

IS_SUBMODULE: Final = (
    "is a git repository of its own, such as a submodule, and a commit of this one does not have "
    "its files: commit them to this repository"
)
"""The message for a folder whose files are not in the commit."""

IS_MISSING: Final = (
    "is in the index of git, but not in the work tree, and would read as removed: run `git "
    "sparse-checkout disable`, or clear the skip-worktree and assume-unchanged bits with `git "
    "update-index` and run `git checkout`"
)
"""The message for a file that is missing without being deleted."""


def find_missing_files(folder: Path) -> dict[str, str]:
    """Find what a work tree lacks of its index, by path relative to the folder, with the reason.

    Git does not report these as deleted: files outside of a sparse checkout, and files whose
    changes git is set to ignore. Submodules are included even if they are checked out.
    """
    if find_work_tree(folder) is None:
        return {}
    listed = run_git(folder, "ls-files", "-v", "-s", "-z", "--", ".")
    if not listed.ok and run_git(folder, "rev-parse", "--git-dir").ok:
        raise SourceError(f"{folder}: git cannot list its files: {listed.reason}")
    if not listed.out:
        _check_checked_out(folder)
    return dict(_parse_index(folder, listed.out))


def _check_checked_out(folder: Path) -> None:
    """Refuse a work tree that git has not written, or not to the end: it has no index."""
    index = run_git(folder, "rev-parse", "--git-path", "index")
    if not index.ok or (folder / index.text).exists():
        return
    committed = run_git(folder, "ls-tree", "-z", "--name-only", "HEAD", "--", ".")
    if committed.out:
        raise SourceError(
            f"{folder}: git has not checked out the files of its commit, and what is not there "
            "would read as removed: run `git reset`, and then `git checkout .`"
        )


def _parse_index(folder: Path, listed: bytes) -> Iterator[tuple[str, str]]:
    for line in listed.split(b"\0")[:-1]:
        about, _, name = line.partition(b"\t")
        path = os.fsdecode(name)
        if b" 160000 " in about:
            yield path, IS_SUBMODULE
        elif not about.startswith(b"H") and not os.path.lexists(folder / path):
            yield path, IS_MISSING


def refuse_missing_files(folder: Path, paths: list[str]) -> None:
    """Raise a SourceError that names a file that a work tree lacks, if there is any."""
    if paths:
        more = f" (and {len(paths) - 1} more files)" if len(paths) > 1 else ""
        raise SourceError(f"{folder / paths[0]}{more} {IS_MISSING}")


def find_checkout(folder: Path) -> Checkout:
    """Find the work tree that a folder is in; SourceError where there is none, or no git."""
    options = ("--show-toplevel", "--show-prefix", "--is-shallow-repository")
    result = run_git(folder, "rev-parse", *options)
    lines = result.text.split("\n")
    if not result.ok or len(lines) != _EXPECTED_LINES:
        _refuse_unusable_repository(folder, result)
        raise SourceError(
            f"{folder}: there is no git work tree, or no git program, and so nothing to compare "
            "with: run this in a clone, or leave out --against"
        )
    top, prefix, shallow = lines
    return Checkout(Path(top), prefix.rstrip("/"), shallow == "true")


def _refuse_unusable_repository(folder: Path, result: GitResult) -> None:
    """Raise a SourceError with git's own reason where there is a repository and a git program."""
    top = find_work_tree(Path(os.path.realpath(folder)))
    if top is None or result.reason.startswith(NOT_STARTED):
        return
    if b"safe.directory" in result.err:
        # Git takes only absolute paths there.
        remedy = f"another user owns it: run `git config --global --add safe.directory {top}`"
    else:
        remedy = result.reason
    raise SourceError(f"{folder}: git cannot use the repository at {top}: {remedy}")


def resolve_commit(checkout: Checkout, name: str) -> str:
    """Look up a commit by any name that git accepts; SourceError says what to do if there is none.

    A name that begins with `-` is refused: git would take it for an option.
    """
    command = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    result = run_git(checkout.top, *command) if name and not name.startswith("-") else None
    if result is not None and result.ok and result.text:
        return result.text
    if checkout.is_shallow:
        remedy = _SHALLOW_REMEDY
    elif _RANGE in name:
        remedy = f"it is a range: use `REV{_BRANCH_POINT}HEAD` for where the branch began"
    else:
        remedy = "name a branch, a tag or a commit of this clone; `git fetch` gets new ones"
    raise SourceError(f"`{name}` is not a commit here: {remedy}")


_RANGE: Final = ".."
_BRANCH_POINT: Final = "..."
_SHALLOW_REMEDY: Final = (
    "this clone is shallow: get more of its history with `git fetch --depth=100 origin "
    "BRANCH`, or all of it with `git fetch --unshallow`"
)


def resolve_base(checkout: Checkout, name: str) -> str:
    """Look up the commit to compare the checked-out files with; SourceError as `resolve_commit`.

    `REV...` and `REV...HEAD` mean the commit from which the checked-out branch began, as in
    `git diff`. If branches were merged in both directions, it is one of the best common ancestors.
    """
    left, dots, right = name.partition(_BRANCH_POINT)
    if not dots:
        return resolve_commit(checkout, name)
    tip, head = resolve_commit(checkout, left or "HEAD"), resolve_commit(checkout, "HEAD")
    if right not in {"", "HEAD"} and resolve_commit(checkout, right) != head:
        raise SourceError(
            f"`{name}`: the files of the checked-out commit are compared: check out `{right}`, or "
            f"use `{left}...HEAD`"
        )
    base = run_git(checkout.top, "merge-base", tip, head)
    if base.ok and base.text:
        return base.text
    unrelated = "name one commit to compare with, as they have no common history"
    remedy = _SHALLOW_REMEDY if checkout.is_shallow else unrelated
    raise SourceError(f"`{name}`: there is no common ancestor here: {remedy}")


def has_diverged(checkout: Checkout, commit: str) -> bool:
    """Whether a commit is not part of the history of HEAD; false in a shallow clone, as unknown."""
    if checkout.is_shallow:
        return False
    not_an_ancestor = 1
    ancestor = run_git(checkout.top, "merge-base", "--is-ancestor", commit, "HEAD")
    return ancestor.code == not_an_ancestor
