"""Detects the CI job from the environment: on GitHub, on GitLab, or elsewhere.

The client of a forge is imported only where a comment will be written: its library takes longer to
import than many commands take to run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from reconcile.ci.forge import CommentClient
from reconcile.core.errors import SourceError
from reconcile.runtime.files import read_limited

TOKEN_VARIABLE: Final = "RECONCILE_TOKEN"  # noqa: S105 - a name
"""The variable with the token for comments; programs that a review runs do not get it."""

_NO_COMMIT: Final = "0" * 40
_MAX_DIGITS: Final = 18
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_UNTRUSTED_EVENTS: Final = frozenset({"pull_request_target", "workflow_run", "issue_comment"})


@dataclass(frozen=True, slots=True)
class BaseCommit:
    """Compare with this commit."""

    revision: str


@dataclass(frozen=True, slots=True)
class MergeBase:
    """Compare with the merge base of HEAD and `tip`.

    `merge_commit` is the forge's merge of the change into its target: if HEAD is that commit, its
    first parent is the base.
    """

    tip: str
    merge_commit: str


@dataclass(frozen=True, slots=True)
class UnknownBase:
    """The event names no commit to compare with."""


DiffBase: TypeAlias = BaseCommit | MergeBase | UnknownBase


@dataclass(frozen=True, slots=True)
class CiJob:
    """The job that a review runs in.

    `comments` is None if no comment can be written; `no_comment_reason` says why. `is_fork` is
    true for a change from a fork, which gets neither credentials nor a token that can write.
    """

    forge: str
    base: DiffBase
    comments: CommentClient | None
    no_comment_reason: str
    is_fork: bool = False


def detect_job(environ: Mapping[str, str]) -> CiJob:
    """Detect the job; SourceError for an event that is unreadable or must not be reviewed."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return _github_job(environ)
    if environ.get("GITLAB_CI") == "true":
        return _gitlab_job(environ)
    return CiJob("", UnknownBase(), None, "this is neither a GitHub nor a GitLab job")


def _github_job(environ: Mapping[str, str]) -> CiJob:
    name = environ.get("GITHUB_EVENT_NAME", "")
    if name in _UNTRUSTED_EVENTS:
        raise SourceError(
            f"the event {name} has the permissions of the repository, but may read files of an "
            "untrusted author; use `on: pull_request`, see docs/pull-requests.md"
        )
    event = _read_event(environ)
    pull = event.get("pull_request")
    if not isinstance(pull, dict):
        return CiJob("github", _event_base(event), None, f"the event {name} is not a pull request")
    start = MergeBase(_find_base_sha(pull), environ.get("GITHUB_SHA", ""))
    return CiJob(
        "github",
        start,
        _github_comments(environ, _find_number(pull)),
        f"there is no token in ${TOKEN_VARIABLE}",
        is_fork=_is_fork(pull),
    )


def _find_base_sha(pull: Mapping[str, Any]) -> str:
    sha = _find(pull, "base", "sha")
    if not isinstance(sha, str) or not _COMMIT.fullmatch(sha):
        raise _missing_field("base.sha", "the id of a commit")
    return sha


def _find_number(pull: Mapping[str, Any]) -> int:
    number = _find(pull, "number")
    if type(number) is not int or number <= 0:
        raise _missing_field("number", "the number of the pull request")
    return number


def _is_fork(pull: Mapping[str, Any]) -> bool:
    """Whether the change is from a fork; it counts as one if the event does not say."""
    head, base = _find(pull, "head", "repo", "id"), _find(pull, "base", "repo", "id")
    return head is None or type(head) is not type(base) or head != base


def _find(event: Any, *names: str) -> Any:
    """Return a value of an event, None if a part of the path is missing or no mapping."""
    for name in names:
        event = event.get(name) if isinstance(event, dict) else None
    return event


def _missing_field(name: str, meaning: str) -> SourceError:
    return SourceError(
        f"the event in $GITHUB_EVENT_PATH has no usable `pull_request.{name}`, {meaning}: this is "
        "not an event of GitHub; name the revision to compare with by `reconcile diff --against`"
    )


def _github_comments(environ: Mapping[str, str], number: int) -> CommentClient | None:
    if not environ.get(TOKEN_VARIABLE):
        return None
    from reconcile.ci.github import GitHubComments, GitHubPullRequest  # noqa: PLC0415

    api = environ.get("GITHUB_API_URL", "https://api.github.com")
    graphql = environ.get("GITHUB_GRAPHQL_URL", f"{api}/graphql")
    repository = environ.get("GITHUB_REPOSITORY", "")
    return GitHubComments(
        GitHubPullRequest(api, graphql, repository, number, environ[TOKEN_VARIABLE])
    )


def _read_event(environ: Mapping[str, str]) -> dict[str, Any]:
    path = environ.get("GITHUB_EVENT_PATH", "")
    try:
        event = orjson.loads(read_limited(Path(path)))
    except OSError as error:
        raise SourceError(
            f"the event in $GITHUB_EVENT_PATH cannot be read: {error.strerror}"
        ) from error
    except orjson.JSONDecodeError as error:
        raise SourceError(
            f"the event in $GITHUB_EVENT_PATH cannot be read as JSON: {error}"
        ) from error
    return event if isinstance(event, dict) else {}


def _event_base(event: Mapping[str, Any]) -> DiffBase:
    """Find the base commit of a push or of a merge queue."""
    group = event.get("merge_group")
    before = group.get("base_sha") if isinstance(group, dict) else event.get("before")
    is_commit = isinstance(before, str) and before not in ("", _NO_COMMIT)
    return BaseCommit(str(before)) if is_commit else UnknownBase()


def _gitlab_job(environ: Mapping[str, str]) -> CiJob:
    number = environ.get("CI_MERGE_REQUEST_IID", "")
    if number and not (number.isascii() and number.isdigit() and len(number) <= _MAX_DIGITS):
        raise SourceError("$CI_MERGE_REQUEST_IID is not the number of a merge request")
    if not number:
        before = environ.get("CI_COMMIT_BEFORE_SHA", _NO_COMMIT)
        start: DiffBase = UnknownBase() if before == _NO_COMMIT else BaseCommit(before)
        return CiJob("gitlab", start, None, "this pipeline is not for a merge request")
    # GitLab sets the target's tip only in pipelines for merged results, where HEAD is a merge into
    # that tip. Elsewhere HEAD is the branch itself, and its base is the base of the diff.
    target = environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "")
    base = target or environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", "")
    source = environ.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "")
    return CiJob(
        "gitlab",
        BaseCommit(base) if base else UnknownBase(),
        _gitlab_notes(environ, int(number)),
        f"there is no token in ${TOKEN_VARIABLE}",
        is_fork=source != environ.get("CI_MERGE_REQUEST_PROJECT_ID", ""),
    )


def _gitlab_notes(environ: Mapping[str, str], number: int) -> CommentClient | None:
    if not environ.get(TOKEN_VARIABLE):
        return None
    from reconcile.ci.gitlab import GitLabMergeRequest, GitLabNotes  # noqa: PLC0415

    request = GitLabMergeRequest(
        environ.get("CI_API_V4_URL", "https://gitlab.com/api/v4"),
        environ.get("CI_MERGE_REQUEST_PROJECT_ID", ""),
        environ.get("CI_MERGE_REQUEST_PROJECT_URL", ""),
        number,
        environ[TOKEN_VARIABLE],
    )
    return GitLabNotes(request)
