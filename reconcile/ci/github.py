"""The comments of a pull request on GitHub."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from reconcile.ci.forge import Comment, CommentError, Comments, MissingError, PassingError
from reconcile.ci.http import Forge, Wire

_VERSION: Final = "2022-11-28"
_OF_JOBS: Final = "github-actions[bot]"
_ADVICE: Final = {
    401: "the token is not accepted: it is wrong or has expired",
    403: "the token may not write here: give the job `permissions: pull-requests: write`",
    404: "the token does not see this pull request: give the job `permissions: pull-requests: "
    "write`, or another token",
    410: "comments are switched off here",
    422: "GitHub does not accept the text: it takes 65,536 characters at most, give a smaller "
    "`limit`",
}


@dataclass(frozen=True, slots=True)
class GitHubPull:
    """Which pull request: the API's URLs, `owner/name`, its number, and the token."""

    api: str
    graphql: str
    repository: str
    number: int
    token: str = field(repr=False)


class GitHubComments:
    """Comments of a pull request, which to GitHub are those of an issue."""

    def __init__(self, pull: GitHubPull) -> None:
        self._issues = f"/repos/{pull.repository}/issues"
        self._pull = pull
        headers = {
            "Authorization": f"Bearer {pull.token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": _VERSION,
        }
        self._rest = Wire(Forge(pull.api, headers, _ADVICE))
        self._graphql = Wire(Forge(pull.graphql, headers, _ADVICE))
        self._me: tuple[str, int | str] | None = None

    def stored(self, body: str) -> str:
        return body

    def mine(self) -> Iterator[Comment]:
        # Whoever can comment could write our marker: only what this token wrote is ours.
        key, value = self._account()
        path = f"{self._issues}/{self._pull.number}/comments?per_page=100"
        for entry in self._rest.pages("list the comments", path):
            if (entry.get("user") or {}).get(key) == value:
                yield _comment(entry)

    def create(self, body: str) -> Comment:
        path = f"{self._issues}/{self._pull.number}/comments"
        return _comment(self._rest.send("create the comment", "POST", path, {"body": body}))

    def update(self, comment: Comment, body: str) -> Comment:
        path = f"{self._issues}/comments/{comment.ident}"
        return _comment(self._rest.send("update the comment", "PATCH", path, {"body": body}))

    def delete(self, comment: Comment) -> None:
        path = f"{self._issues}/comments/{comment.ident}"
        with suppress(MissingError):
            self._rest.send("delete a second comment", "DELETE", path)

    def _account(self) -> tuple[str, int | str]:
        """Say how this token's account is known in a comment's `user`.

        `GET /user` refuses the tokens of jobs and apps; the GraphQL `viewer` does not. A server
        that is too old for it leaves the account that a job's own token has.
        """
        if self._me is None:
            try:
                self._me = ("id", self._viewer())
            except PassingError:
                raise
            except CommentError:
                self._me = ("login", _OF_JOBS)
        return self._me

    def _viewer(self) -> int:
        query = {"query": "query { viewer { databaseId } }"}
        answer = self._graphql.send("ask whose token it is", "POST", "", query)
        viewer = ((answer or {}).get("data") or {}).get("viewer") or {}
        ident = viewer.get("databaseId")
        if not isinstance(ident, int):
            raise CommentError("ask whose token it is: no answer to that")
        return ident


def _comment(entry: dict[str, Any]) -> Comment:
    return Comment(entry["id"], entry.get("body") or "", entry.get("html_url", ""))


if TYPE_CHECKING:
    _conforms: type[Comments] = GitHubComments
