"""The comments of a pull request on GitHub."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from reconcile.ci.forge import (
    Comment,
    CommentClient,
    CommentError,
    CommentNotFoundError,
    TransientCommentError,
)
from reconcile.ci.http import ForgeApi, ForgeClient

_API_VERSION: Final = "2022-11-28"
_JOB_LOGIN: Final = "github-actions[bot]"
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
class GitHubPullRequest:
    """Which pull request: the API's URLs, `owner/name`, its number, and the token."""

    api_url: str
    graphql_url: str
    repository: str
    number: int
    token: str = field(repr=False)


class GitHubComments:
    """Comments of a pull request, which to GitHub are those of an issue."""

    def __init__(self, pull_request: GitHubPullRequest) -> None:
        self._issues = f"/repos/{pull_request.repository}/issues"
        self._pull_request = pull_request
        headers = {
            "Authorization": f"Bearer {pull_request.token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": _API_VERSION,
        }
        self._rest = ForgeClient(ForgeApi(pull_request.api_url, headers, _ADVICE))
        self._graphql = ForgeClient(ForgeApi(pull_request.graphql_url, headers, _ADVICE))
        self._account_key: tuple[str, int | str] | None = None

    def prepare_body(self, body: str) -> str:
        return body

    def list_own(self) -> Iterator[Comment]:
        # Whoever can comment could write our marker: only what this token wrote is ours.
        key, value = self._find_account()
        path = f"{self._issues}/{self._pull_request.number}/comments?per_page=100"
        for entry in self._rest.paginate("list the comments", path):
            if (entry.get("user") or {}).get(key) == value:
                yield _parse_comment(entry)

    def create(self, body: str) -> Comment:
        path = f"{self._issues}/{self._pull_request.number}/comments"
        return _parse_comment(self._rest.send("create the comment", "POST", path, {"body": body}))

    def update(self, comment: Comment, body: str) -> Comment:
        path = f"{self._issues}/comments/{comment.id}"
        return _parse_comment(self._rest.send("update the comment", "PATCH", path, {"body": body}))

    def delete(self, comment: Comment) -> None:
        path = f"{self._issues}/comments/{comment.id}"
        with suppress(CommentNotFoundError):
            self._rest.send("delete a second comment", "DELETE", path)

    def _find_account(self) -> tuple[str, int | str]:
        """Say how this token's account is known in a comment's `user`.

        `GET /user` refuses the tokens of jobs and apps; the GraphQL `viewer` does not. A server
        that is too old for it leaves the account that a job's own token has.
        """
        if self._account_key is None:
            try:
                self._account_key = ("id", self._query_viewer_id())
            except TransientCommentError:
                raise
            except CommentError:
                self._account_key = ("login", _JOB_LOGIN)
        return self._account_key

    def _query_viewer_id(self) -> int:
        query = {"query": "query { viewer { databaseId } }"}
        answer = self._graphql.send("ask whose token it is", "POST", "", query)
        viewer = ((answer or {}).get("data") or {}).get("viewer") or {}
        ident = viewer.get("databaseId")
        if not isinstance(ident, int):
            raise CommentError("ask whose token it is: no answer to that")
        return ident


def _parse_comment(entry: dict[str, Any]) -> Comment:
    return Comment(entry["id"], entry.get("body") or "", entry.get("html_url", ""))


if TYPE_CHECKING:
    _conforms: type[CommentClient] = GitHubComments
