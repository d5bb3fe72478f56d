"""Finds out what would be lost if a folder of the agent were removed or replaced.

A repository is the agent's: git runs without its hooks, filters and transports, and whatever git
cannot tell for certain counts as work that must stay. Files that git is configured to ignore do not
count.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from reconcile.runtime.git import NO_NETWORK, GitRepository, GitResult
from reconcile.runtime.settings import read_process_settings

_SECONDS: Final = 120.0
_LONGEST_NAME: Final = 100
_MOST_FILES: Final = 50_000
_MOST_BYTES: Final = 256 << 20
_CHUNK: Final = 1 << 20

_CONFIG: Final = (
    *NO_NETWORK,
    "core.excludesFile=/dev/null",
    "core.untrackedCache=false",
    "core.checkStat=default",
    "core.trustctime=true",
)
_ENVIRON: Final = {
    "HOME": "/nonexistent",
    "XDG_CONFIG_HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    # A partial clone must not fetch: its configuration names the program that would do it.
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
}
_UNDER_WAY: Final = (
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "rebase-merge",
    "rebase-apply",
)


class _UncertainError(Exception):
    """Git cannot tell; the message says why."""


def find_reason_to_keep(folder: Path) -> str:
    """Say what would be lost with a repository, or why git cannot tell; empty if nothing would."""
    if not os.path.lexists(folder):
        return ""
    if not is_real_folder(folder):
        return "it is not a folder"
    try:
        if not os.listdir(folder):  # noqa: PTH208 - a descriptor is not left open
            return ""
        return _find_repository_reason(folder)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except _UncertainError as error:
        return f"git cannot tell whether it has work that is not pushed: {error}"


def is_real_folder(folder: Path) -> bool:
    """Whether a path below the workspace is a folder, and neither it nor its parent is a link."""
    return all(_is_folder(each) for each in (folder.parent, folder))


def is_repository(folder: Path) -> bool:
    """Whether a folder has a repository of its own."""
    return is_real_folder(folder) and _is_folder(folder / ".git")


def read_origin(folder: Path) -> str:
    """Return the URL of the remote `origin`; empty if there is none."""
    if not is_repository(folder):
        return ""
    found = _open(folder).run("config", "--get", "remote.origin.url")
    return found.text if found.ok else ""


def read_branch(folder: Path) -> str:
    """Return the branch that is checked out; empty if there is none, or no repository."""
    if not is_repository(folder):
        return ""
    found = _open(folder).run("symbolic-ref", "--quiet", "--short", "HEAD")
    return found.text if found.ok else ""


def is_same_url(one: str, other: str) -> bool:
    """Whether two URLs name one repository; user information and `.git` at the end do not count."""
    return _simplify(one) == _simplify(other)


def _simplify(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme and parts.netloc:
        url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path}"
    return url.rstrip("/").removesuffix(".git")


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _open(folder: Path) -> GitRepository:
    path = read_process_settings().environ.get("PATH", os.defpath)
    return GitRepository(folder, folder, {**_ENVIRON, "PATH": path}, _CONFIG, _SECONDS)


def _find_repository_reason(folder: Path) -> str:
    git_folder = folder / ".git"
    if not _is_folder(git_folder):
        return "it is not a repository with a `.git` folder of its own"
    checks: tuple[Callable[[], str], ...] = (
        lambda: _find_operation(git_folder),
        lambda: _find_worktree(git_folder),
        lambda: _find_index_reason(folder),
        lambda: _find_uncommitted(folder),
        lambda: _find_stash(folder),
        lambda: _find_unpushed(folder),
    )
    return next((reason for check in checks if (reason := check())), "")


def _find_operation(git_folder: Path) -> str:
    found = next((each for each in _UNDER_WAY if os.path.lexists(git_folder / each)), "")
    return f"a merge or rebase is under way ({found})" if found else ""


def _find_worktree(git_folder: Path) -> str:
    worktrees = git_folder / "worktrees"
    has_some = os.path.lexists(worktrees) and (
        not _is_folder(worktrees) or any(worktrees.iterdir())
    )
    return "it has further worktrees" if has_some else ""


def _find_index_reason(folder: Path) -> str:
    """Find submodules that are checked out, and files whose changes `git status` does not show."""
    listed = _require(_open(folder).run("ls-files", "-s", "-v", "-z"))
    for entry in filter(None, listed.out.split(b"\0")):
        details, _, name = entry.partition(b"\t")
        tag, mode = details.split(b" ")[:2]
        path = folder / os.fsdecode(name)
        if mode == b"160000" and os.path.lexists(path / ".git"):
            return f"its submodule {_show(name)} is checked out, and is not looked at"
        if tag.islower() or (tag == b"S" and os.path.lexists(path)):
            return f"git is set to overlook changes of {_show(name)}"
    return ""


def _find_uncommitted(folder: Path) -> str:
    options = ("--porcelain=v1", "-z", "--untracked-files=normal", "--ignore-submodules=dirty")
    status = _require(_open(folder).status(*options, "--no-renames"))
    names = [each[3:] for each in status.out.split(b"\0") if each]
    if not names:
        return ""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"it has changes that are not committed: {_show(names[0])}{more}"


def _find_stash(folder: Path) -> str:
    found = _require(_open(folder).run("for-each-ref", "--count=1", "refs/stash"))
    return "it has stashed changes" if found.out else ""


def _find_unpushed(folder: Path) -> str:
    """Find a commit that no remote-tracking branch has: of a branch, a tag, or a detached HEAD."""
    options = ("--max-count=1", "--exclude=refs/remotes/*", "--all", "--not", "--remotes")
    found = _require(_open(folder).run("rev-list", *options))
    return f"commit {found.text[:12]} is not pushed" if found.out else ""


def _require(result: GitResult) -> GitResult:
    """Return the result of a command that succeeded without a warning, such as of a broken ref."""
    if not result.ok or result.err.strip():
        raise _UncertainError(result.reason)
    return result


def _show(name: bytes) -> str:
    return re.sub(r"[^ -~]", "?", name.decode(errors="replace"))[:_LONGEST_NAME]


def digest_folder(folder: Path) -> str:
    """Return a digest of names, modes and contents; empty if there is no folder, or too much.

    It shows whether files without a repository, such as a part of a workflow, have been changed.
    """
    if not is_real_folder(folder):
        return ""
    digest, size = hashlib.sha256(), 0
    try:
        for number, path in enumerate(_walk(folder)):
            status = path.lstat()
            size += status.st_size
            if number >= _MOST_FILES or size > _MOST_BYTES:
                return ""
            name = os.fsencode(path.relative_to(folder))
            digest.update(b"%d %d %o\0" % (len(name), status.st_size, status.st_mode) + name)
            _add_content(digest, path, status)
    except OSError:
        return ""
    return digest.hexdigest()


def _walk(folder: Path) -> Iterator[Path]:
    for top, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        yield from (Path(top, name) for name in sorted([*folders, *files]))


def _raise(error: OSError) -> None:
    raise error


def _add_content(digest: "hashlib._Hash", path: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        digest.update(os.fsencode(path.readlink()))
    elif stat.S_ISREG(status.st_mode):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags), "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
