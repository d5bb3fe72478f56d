"""What can go wrong when a pull request is reported on."""

from reconcile.core.errors import ReconcileError


class CommentError(ReconcileError):
    """The comment could not be written; says what to do."""


class DeniedError(CommentError):
    """The token may read but not write, or not even read."""


class MissingError(CommentError):
    """What was asked for is not there, or the token does not see it."""


class PassingError(CommentError):
    """May pass by itself: the only kind after which it is tried again.

    `retry_after` is the server's own wish in seconds, 0 where it has none.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
