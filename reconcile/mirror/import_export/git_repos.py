"""Restores git repositories from what the platform stored of them.

The platform stored a bundle with all refs, `git diff HEAD` as `uncommitted.patch`, `git diff
--cached` as `staged.patch`, and `metadata.json`. A patch is applied file by file if it does not
apply as a whole; the parts that do not apply stay as files.
"""

import os
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson
from msgspec import Struct, field

from reconcile.mirror.import_export.platform_layout import REPO_STATE, list_repositories
from reconcile.runtime.git import ISOLATED_ENVIRON, NO_NETWORK, GitRepository

_TIMEOUT: Final = 1800
_CONFIG: Final = (
    *NO_NETWORK,
    "protocol.file.allow=always",
    "core.autocrlf=false",
    "gc.auto=0",
    "advice.detachedHead=false",
)
_ENVIRON: Final = {
    **ISOLATED_ENVIRON,
    "PATH": os.defpath,
    "GIT_COMMITTER_NAME": "reconcile-mirror",
    "GIT_COMMITTER_EMAIL": "reconcile-mirror@localhost",
}


class GitError(Exception):
    """A git command failed; the message is the last line of its error output."""


class GitRunner:
    """Runs git in one directory, without the configuration of any user or of the system."""

    def __init__(self, directory: Path) -> None:
        self._repository = GitRepository(directory, directory, _ENVIRON, _CONFIG, _TIMEOUT)

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run one command and return its output; GitError if it fails or takes too long."""
        result = self._repository.run(*arguments, stdin=stdin)
        if not result.ok:
            raise GitError(result.reason)
        return result.out


_DIFF_START: Final = re.compile(rb"^diff --git ", re.MULTILINE)
BINARY_DIFF: Final = re.compile(rb"^Binary files .* differ$", re.MULTILINE)


def split_patch(patch: bytes) -> list[bytes]:
    """Split a patch of git into parts, one for each file.

    Lines of content begin with a blank, `+`, `-` or a backslash, so none looks like the start of a
    part. Text before the first start is a part of its own, unless it is blank.
    """
    starts = [match.start() for match in _DIFF_START.finditer(patch)]
    bounds = [0, *starts, len(patch)]
    parts = [patch[start:end] for start, end in pairwise(bounds)]
    return [part for part in parts if part.strip()]


def is_binary_diff(part: bytes) -> bool:
    """Whether a part only says that a binary file differs, without its bytes."""
    return BINARY_DIFF.search(part) is not None


REPOS: Final = "repos"
_REJECTED_SUFFIX: Final = "rejected.patch"
_BRANCH: Final = re.compile(r"(?!-)[^\s\x00-\x20~^:?*\[\\]{1,255}")
_REMOTE: Final = re.compile(r"(https?|ssh|git)://[^\s\x00-\x20]+|[\w.-]+@[\w.-]+:[^\s\x00-\x20]+")
_USERINFO: Final = re.compile(r"^(https?://)[^/@]*@")
_DIGEST: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)


class RepositoryResult(Struct):
    """The result for one repository; `problems` is empty if everything was restored."""

    name: str
    problems: list[str] = field(default_factory=list)


def restore_repositories(root: Path) -> list[RepositoryResult]:
    """Restore each repository of `repo-state/` in a workspace into `repos/`."""
    state = root / REPO_STATE
    if not state.is_dir():
        return []
    paths = [str(path.relative_to(root)) for path in state.rglob("*") if path.is_file()]
    results = [_restore_repository(root, name) for name in list_repositories(paths)]
    if not any(state.iterdir()):
        state.rmdir()
    return results


def _restore_repository(root: Path, name: str) -> RepositoryResult:
    result = RepositoryResult(name)
    saved, target = root / REPO_STATE / name, root / REPOS / name
    if target.exists() or target.is_symlink():
        result.problems.append(f"{REPOS}/{name} exists already: it was not changed")
        return result
    target.mkdir(parents=True)
    try:
        _RepositoryRestorer(saved, target, result).run()
    except GitError as error:
        result.problems.append(f"its bundle cannot be restored: {error}")
        shutil.rmtree(target)
    if not result.problems:
        shutil.rmtree(saved)
    return result


class _RepositoryRestorer:
    def __init__(self, saved: Path, target: Path, result: RepositoryResult) -> None:
        self._saved = saved
        self._git = GitRunner(target)
        self._result = result
        self._metadata = self._read_metadata()

    def run(self) -> None:
        """Restore; GitError if there is no history to restore."""
        bundles = sorted(self._saved.glob("*.bundle"))
        if not bundles:
            raise GitError("there is no bundle")
        self._git.run("init", "--quiet", "--template=", "--initial-branch=main")
        for bundle in bundles:
            self._git.run(
                "fetch", "--quiet", "--update-head-ok", str(bundle.absolute()), "+refs/*:refs/*"
            )
        self._check_out(bundles[0])
        self._restore_stash()
        self._add_remote()
        self._apply("uncommitted.patch")
        self._apply("staged.patch", "--cached")
        self._report_unknown_files({bundle.name for bundle in bundles})

    def _report_unknown_files(self, bundles: set[str]) -> None:
        known = {"uncommitted.patch", "staged.patch", "metadata.json", *bundles}
        known |= {f"{name}.{_REJECTED_SUFFIX}" for name in known}
        unknown = sorted(path.name for path in self._saved.iterdir() if path.name not in known)
        if unknown:
            self._result.problems.append(f"unknown files were not restored: {', '.join(unknown)}")

    def _read_metadata(self) -> dict[str, Any]:
        path = self._saved / "metadata.json"
        try:
            metadata = orjson.loads(path.read_bytes())
        except FileNotFoundError:
            self._result.problems.append("there is no metadata.json: branch and remote are guessed")
            return {}
        except (OSError, ValueError):
            metadata = None
        if not isinstance(metadata, dict):
            self._result.problems.append("its metadata.json cannot be read")
            return {}
        return metadata

    def _read_field(self, name: str, pattern: re.Pattern[str]) -> str:
        """Return a text of the metadata, empty if it is missing or does not match the pattern."""
        value = self._metadata.get(name)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        if value:
            self._result.problems.append(f"its {name} is invalid: {str(value)[:100]!r}")
        return ""

    def _check_out(self, bundle: Path) -> None:
        branch = self._read_field("currentBranch", _BRANCH)
        commit = self._read_field("headSha", _DIGEST) or self._bundle_head(bundle)
        if branch and branch != "HEAD" and self._has_object(f"refs/heads/{branch}"):
            self._git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")
            tip = self._git.run("rev-parse", "HEAD").decode().strip()
            if commit and commit != tip:
                self._result.problems.append(
                    f"{branch} is at {tip}, but its metadata.json says {commit}"
                )
        elif commit and self._has_object(f"{commit}^{{commit}}"):
            self._git.run("update-ref", "--no-deref", "HEAD", commit)
            if branch and branch != "HEAD":
                self._result.problems.append(f"there is no branch {branch}: HEAD is detached")
        else:
            raise GitError("it has neither the branch nor the commit that was checked out")
        self._git.run("reset", "--quiet", "--hard")

    def _has_object(self, name: str) -> bool:
        try:
            self._git.run("rev-parse", "--verify", "--quiet", name)
        except GitError:
            return False
        return True

    def _bundle_head(self, bundle: Path) -> str:
        for line in self._git.run("bundle", "list-heads", str(bundle.absolute())).splitlines():
            digest, _, name = line.decode(errors="replace").partition(" ")
            if name == "HEAD":
                return digest
        return ""

    def _restore_stash(self) -> None:
        """Store the last stash again: a bundle has its commit, but not the reflog that lists it."""
        if self._has_object("refs/stash"):
            stash = self._git.run("rev-parse", "refs/stash").decode().strip()
            self._git.run("update-ref", "-d", "refs/stash")
            self._git.run("stash", "store", "--message", "imported", stash)

    def _add_remote(self) -> None:
        remote = _USERINFO.sub(r"\1", self._read_field("remoteUrl", _REMOTE))
        if remote:
            self._git.run("remote", "add", "origin", remote)

    def _apply(self, name: str, *options: str) -> None:
        """Apply a patch, or those of its parts that apply; the others are written to a file."""
        path = self._saved / name
        if not path.is_file():
            return
        patch = path.read_bytes()
        if not patch.strip() or self._try_apply(patch, options) is None:
            return
        rejected: list[bytes] = []
        reasons: list[str] = []
        for part in split_patch(patch):
            reason = self._try_apply(part, options)
            if reason is not None:
                rejected.append(part)
                reasons.append("binary files are not in it" if is_binary_diff(part) else reason)
        if rejected:
            (self._saved / f"{name}.{_REJECTED_SUFFIX}").write_bytes(b"".join(rejected))
            self._result.problems.append(
                f"{len(rejected)} parts of {name} do not apply ({reasons[0]}): they are in "
                f"{REPO_STATE}/{self._result.name}/{name}.{_REJECTED_SUFFIX}"
            )

    def _try_apply(self, patch: bytes, options: tuple[str, ...]) -> str | None:
        """Apply a whole patch or nothing; returns the reason if it does not apply, else None."""
        try:
            self._git.run("apply", "--whitespace=nowarn", *options, "-", stdin=patch)
        except GitError as error:
            return str(error)
        return None
