"""Keeps one comment on a pull request: made once, then updated where it stands.

What can go wrong when a pull request is reported on.

What the review asks of others: the comments of a pull request, and programs to run.
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
    """The token may read but not write, or not even read."""


class CommentNotFoundError(CommentError):
    """What was asked for is not there, or the token does not see it."""


class TransientCommentError(CommentError):
    """May pass by itself: the only kind after which it is tried again.

    `retry_after` is the server's own wish in seconds, 0 where it has none.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment; `id` grows with time, `url` is for people."""

    id: int
    body: str
    url: str


class CommentClient(Protocol):
    """The comments on one pull request.

    Every method that asks the server raises PassingError for what may pass by itself, DeniedError
    where the token may not, MissingError for what is not there, CommentError for the rest. Nothing
    is tried again here.
    """

    def prepare_body(self, body: str) -> str:
        """Give the text as this server is to store it."""
        ...

    def list_own(self) -> Iterable[Comment]:
        """Give all comments that the token's own account has written, oldest first."""
        ...

    def create(self, body: str) -> Comment:
        """Write a new comment. After a PassingError it may be there or not."""
        ...

    def update(self, comment: Comment, body: str) -> Comment:
        """Give a comment another text."""
        ...

    def delete(self, comment: Comment) -> None:
        """Remove a comment; one that is gone already counts as removed."""
        ...


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """How a program ended, with all that it said."""

    code: int
    out: str
    err: str


class ProcessRunner(Protocol):
    """Runs a program in a folder and waits for its end; one that is missing ends as 127."""

    def __call__(
        self, command: Sequence[str], environ: Mapping[str, str], folder: Path
    ) -> ProcessResult: ...


@dataclass(frozen=True, slots=True)
class JobContext:
    """Where the review takes place: the environment, its folder, and how it runs others."""

    environ: Mapping[str, str] = field(repr=False)
    folder: Path
    run: ProcessRunner


COMMENT_BACKOFF: Final = RetryBackoff(
    max_attempts=5, backoff=Backoff(initial=2.0, maximum=60.0), max_retry_after=300.0
)
"""A job may wait for a rate limit, but not for an hour: a longer Retry-After ends it."""


@dataclass(frozen=True, slots=True)
class CommentResult:
    """What was done: `created`, `updated` or `unchanged`, and where the comment is."""

    action: str
    url: str


def upsert_comment(comments: CommentClient, marker: str, body: str, clock: Clock) -> CommentResult:
    """Make the one comment that begins with `marker` say `body`.

    All of it is tried again after what may pass: comments are listed anew each time, so that a
    comment whose answer was lost is found and not made twice.
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
    kept = _find_marked(comments, marker)
    if kept:
        return _update_oldest(comments, kept, body)
    created = comments.create(body)
    # Another run may have found none in the same moment. The oldest stays: every run then agrees.
    now = _find_marked(comments, marker)
    if now and now[0].id != created.id:
        return _update_oldest(comments, now, body)
    return CommentResult("created", created.url)


def _update_oldest(comments: CommentClient, existing: list[Comment], body: str) -> CommentResult:
    """Give the oldest the text, and remove what a race or a broken run has left beside it."""
    oldest, *others = existing
    for other in others:
        comments.delete(other)
    if _normalize(oldest.body) == _normalize(body):
        return CommentResult("unchanged", oldest.url)
    try:
        return CommentResult("updated", comments.update(oldest, body).url)
    except CommentNotFoundError as error:
        raise TransientCommentError(f"{error}; it was deleted meanwhile") from error


def _find_marked(comments: CommentClient, marker: str) -> list[Comment]:
    found = [one for one in comments.list_own() if _normalize(one.body).startswith(marker)]
    return sorted(found, key=lambda one: one.id)


def _normalize(text: str) -> str:
    """Leave out what a server may change in a text that it stores."""
    return text.replace("\r\n", "\n").strip()
