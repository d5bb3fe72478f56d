"""The ports of a review and their errors; maintains the one comment of a pull request.

The comment is created once and then updated in place. `github` and `gitlab` implement its client.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from reconcile.core.errors import ReconcileError
from reconcile.engine.ports import Clock
from reconcile.engine.retry import RetryBackoff
from reconcile.runtime.backoff import Backoff


class CommentError(ReconcileError):
    """The comment could not be written; says what to do."""


class CommentForbiddenError(CommentError):
    """The token has no permission to write, or not even to read."""


class CommentNotFoundError(CommentError):
    """The comment or pull request does not exist, or the token has no access to it."""


class TransientCommentError(CommentError):
    """A temporary failure, the only error after which the review retries.

    `retry_after` is the server's Retry-After in seconds, 0 if it sent none.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment; newer ones have a larger `id`, `url` is its web page."""

    id: int
    body: str
    url: str


class CommentClient(Protocol):
    """The comments on one pull request.

    Every method that sends a request raises TransientCommentError for a temporary failure,
    CommentForbiddenError for a missing permission, CommentNotFoundError for a missing object, and
    CommentError for other failures. It does not retry.
    """

    def prepare_body(self, body: str) -> str:
        """Return the text in the form that this server needs."""
        ...

    def list_own(self) -> Iterable[Comment]:
        """List all comments that the token's account has written."""
        ...

    def create(self, body: str) -> Comment:
        """Create a comment; after a TransientCommentError it may exist or not."""
        ...

    def update(self, comment: Comment, body: str) -> Comment:
        """Replace the text of a comment."""
        ...

    def delete(self, comment: Comment) -> None:
        """Delete a comment; no error if it does not exist."""
        ...


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """How a program ended: exit code, output and error output."""

    code: int
    out: str
    err: str


class ProcessRunner(Protocol):
    """Runs a program in a folder to its end; the code is 127 if it cannot be started."""

    def __call__(
        self, command: Sequence[str], environ: Mapping[str, str], folder: Path
    ) -> ProcessResult: ...


@dataclass(frozen=True, slots=True)
class JobContext:
    """Where the review runs: the environment, the folder, and how it runs programs."""

    environ: Mapping[str, str] = field(repr=False)
    folder: Path
    run: ProcessRunner


COMMENT_BACKOFF: Final = RetryBackoff(
    max_attempts=5, backoff=Backoff(initial=2.0, maximum=60.0), max_retry_after=300.0
)
"""A job may wait for a rate limit, but not for an hour: a longer Retry-After ends it."""


@dataclass(frozen=True, slots=True)
class CommentResult:
    """The action (`created`, `updated` or `unchanged`), and the comment's web page."""

    action: str
    url: str


def upsert_comment(comments: CommentClient, marker: str, body: str, clock: Clock) -> CommentResult:
    """Create or update the one comment that begins with `marker`.

    A retry lists the comments again, so that a comment whose response was lost is found and not
    created twice.
    """
    failures = 0
    while True:
        try:
            return _upsert_once(comments, marker, comments.prepare_body(body))
        except TransientCommentError as error:
            failures += 1
            if (
                failures >= COMMENT_BACKOFF.max_attempts
                or error.retry_after > COMMENT_BACKOFF.max_retry_after
            ):
                raise
            clock.sleep(COMMENT_BACKOFF.delay(failures, clock.jitter(), error.retry_after))


def _upsert_once(comments: CommentClient, marker: str, body: str) -> CommentResult:
    existing = _find_marked(comments, marker)
    if existing:
        return _update_oldest(comments, existing, body)
    created = comments.create(body)
    # Another run may have created one concurrently. The oldest stays, so that all runs agree.
    now = _find_marked(comments, marker)
    if now and now[0].id != created.id:
        return _update_oldest(comments, now, body)
    return CommentResult("created", created.url)


def _update_oldest(comments: CommentClient, existing: list[Comment], body: str) -> CommentResult:
    """Update the oldest, and delete others, which a race or an aborted run has left."""
    oldest, *others = existing
    for other in others:
        comments.delete(other)
    if _normalize(oldest.body) == _normalize(body):
        return CommentResult("unchanged", oldest.url)
    try:
        return CommentResult("updated", comments.update(oldest, body).url)
    except CommentNotFoundError as error:
        raise TransientCommentError(f"{error}; it was deleted concurrently") from error


def _find_marked(comments: CommentClient, marker: str) -> list[Comment]:
    marked = [each for each in comments.list_own() if _normalize(each.body).startswith(marker)]
    return sorted(marked, key=lambda each: each.id)


def _normalize(text: str) -> str:
    """Remove differences that a server may make when it stores a text."""
    return text.replace("\r\n", "\n").strip()
