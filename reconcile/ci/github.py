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
    403: "the token has no write permission: give the job `permissions: pull-requests: write`",
    404: "the token has no access to this pull request: give the job `permissions: pull-requests: "
    "write`, or another token",
    410: "comments are disabled here",
    422: "GitHub rejects the text: its maximum is 65,536 characters, set a smaller `limit`",
}


@dataclass(frozen=True, slots=True)
class GitHubPullRequest:
    """A pull request: the URLs of the API, `owner/name`, its number, and the token."""

    api_url: str
    graphql_url: str
    repository: str
    number: int
    token: str = field(repr=False)


class GitHubComments:
    """The comments of a pull request, which GitHub serves as comments of an issue."""

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
        # Every user who can comment can write our marker: the author must be this token's account.
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
            self._rest.send("delete a duplicate comment", "DELETE", path)

    def _find_account(self) -> tuple[str, int | str]:
        """Return the key and value that identify the token's account in a comment's `user`.

        `GET /user` refuses the tokens of jobs and apps; the GraphQL `viewer` does not. For a server
        that is too old for it, the account of a job's token is assumed.
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
        response = self._graphql.send("query the token's account", "POST", "", query)
        viewer = ((response or {}).get("data") or {}).get("viewer") or {}
        account_id = viewer.get("databaseId")
        if not isinstance(account_id, int):
            raise CommentError("query the token's account: the response has no account")
        return account_id


def _parse_comment(entry: dict[str, Any]) -> Comment:
    return Comment(entry["id"], entry.get("body") or "", entry.get("html_url", ""))


if TYPE_CHECKING:
    _conforms: type[CommentClient] = GitHubComments
