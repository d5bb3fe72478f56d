"""Keeps one comment on a pull request: made once, then updated where it stands."""

from dataclasses import dataclass
from typing import Final

from reconcile.ci.errors import MissingError, PassingError
from reconcile.ci.ports import Comment, Comments
from reconcile.engine.ports import Clock
from reconcile.engine.retry import Backoff

BACKOFF: Final = Backoff(tries=5, first=2.0, longest=60.0, patience=300.0)
"""A job may wait for a rate limit, but not for an hour: a longer wish is not waited for."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was done: `created`, `updated` or `unchanged`, and where the comment is."""

    action: str
    url: str


def keep_one(comments: Comments, marker: str, body: str, clock: Clock) -> Kept:
    """Make the one comment that begins with `marker` say `body`.

    All of it is tried again after what may pass: comments are listed anew each time, so that a
    comment whose answer was lost is found and not made twice.
    """
    failures = 0
    while True:
        try:
            return _keep(comments, marker, comments.stored(body))
        except PassingError as error:
            failures += 1
            if failures >= BACKOFF.tries or error.retry_after > BACKOFF.patience:
                raise
            clock.sleep(BACKOFF.wait(failures, clock.jitter(), error.retry_after))


def _keep(comments: Comments, marker: str, body: str) -> Kept:
    kept = _marked(comments, marker)
    if kept:
        return _update(comments, kept, body)
    created = comments.create(body)
    # Another run may have found none in the same moment. The oldest stays: every run then agrees.
    now = _marked(comments, marker)
    if now and now[0].ident != created.ident:
        return _update(comments, now, body)
    return Kept("created", created.url)


def _update(comments: Comments, kept: list[Comment], body: str) -> Kept:
    """Give the oldest the text, and remove what a race or a broken run has left beside it."""
    oldest, *others = kept
    for other in others:
        comments.delete(other)
    if _plain(oldest.body) == _plain(body):
        return Kept("unchanged", oldest.url)
    try:
        return Kept("updated", comments.update(oldest, body).url)
    except MissingError as error:
        raise PassingError(f"{error}; it was deleted meanwhile") from error


def _marked(comments: Comments, marker: str) -> list[Comment]:
    found = [one for one in comments.mine() if _plain(one.body).startswith(marker)]
    return sorted(found, key=lambda one: one.ident)


def _plain(text: str) -> str:
    """Leave out what a server may change in a text that it stores."""
    return text.replace("\r\n", "\n").strip()
