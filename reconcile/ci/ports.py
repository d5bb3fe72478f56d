"""What the review asks of others: the comments of a pull request, and programs to run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment; `ident` grows with time, `url` is for people."""

    ident: int
    body: str
    url: str


class Comments(Protocol):
    """The comments on one pull request.

    Every method that asks the server raises PassingError for what may pass by itself, DeniedError
    where the token may not, MissingError for what is not there, CommentError for the rest. Nothing
    is tried again here.
    """

    def stored(self, body: str) -> str:
        """Give the text as this server is to store it."""
        ...

    def mine(self) -> Iterable[Comment]:
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
class Ended:
    """How a program ended, with all that it said."""

    code: int
    out: str
    err: str


class Run(Protocol):
    """Runs a program in a folder and waits for its end; one that is missing ends as 127."""

    def __call__(
        self, command: Sequence[str], environ: Mapping[str, str], folder: Path
    ) -> Ended: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the review takes place: the environment, its folder, and how it runs others."""

    environ: Mapping[str, str] = field(repr=False)
    folder: Path
    run: Run
