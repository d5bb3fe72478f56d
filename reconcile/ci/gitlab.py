"""The notes of a merge request on GitLab."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from reconcile.ci.forge import Comment, CommentClient, CommentNotFoundError
from reconcile.ci.http import ForgeApi, ForgeClient

_ADVICE: Final = {
    401: "the token is not accepted: it is wrong or has expired",
    403: "the token has no write permission: it needs the scope `api` and the role Reporter or "
    "higher",
    404: "the token has no access to this merge request: create it in this project with the "
    "scope `api`",
    400: "GitLab rejects the text: set a smaller limit",
    422: "GitLab rejects the text: set a smaller limit",
}
_QUICK_ACTION: Final = re.compile(r"^([ \t]*)/(?=[A-Za-z])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class GitLabMergeRequest:
    """A merge request: URL of the API, id and page of the project, its number, and the token."""

    api_url: str
    project_id: str
    project_url: str
    number: int
    token: str = field(repr=False)


class GitLabNotes:
    """The notes of one merge request."""

    def __init__(self, merge_request: GitLabMergeRequest) -> None:
        self._merge_request = merge_request
        self._notes = (
            f"/projects/{merge_request.project_id}/merge_requests/{merge_request.number}/notes"
        )
        self._client = ForgeClient(
            ForgeApi(merge_request.api_url, {"PRIVATE-TOKEN": merge_request.token}, _ADVICE)
        )
        self._account_id: int | None = None

    def prepare_body(self, body: str) -> str:
        # GitLab would run a line that begins like a quick action (`/merge`).
        return _QUICK_ACTION.sub(r"\1\\/", body)

    def list_own(self) -> Iterator[Comment]:
        if self._account_id is None:
            self._account_id = self._client.send("get the token's account", "GET", "/user")["id"]
        path = f"{self._notes}?per_page=100&order_by=created_at&sort=asc"
        for entry in self._client.paginate("list the notes", path):
            if (
                not entry.get("system")
                and (entry.get("author") or {}).get("id") == self._account_id
            ):
                yield self._parse_comment(entry)

    def create(self, body: str) -> Comment:
        content = {"body": body}
        return self._parse_comment(
            self._client.send("create the note", "POST", self._notes, content)
        )

    def update(self, comment: Comment, body: str) -> Comment:
        path = f"{self._notes}/{comment.id}"
        return self._parse_comment(
            self._client.send("update the note", "PUT", path, {"body": body})
        )

    def delete(self, comment: Comment) -> None:
        with suppress(CommentNotFoundError):
            self._client.send("delete a duplicate note", "DELETE", f"{self._notes}/{comment.id}")

    def _parse_comment(self, entry: dict[str, Any]) -> Comment:
        request = self._merge_request
        page = f"{request.project_url}/-/merge_requests/{request.number}#note_{entry['id']}"
        return Comment(entry["id"], entry.get("body") or "", page)


if TYPE_CHECKING:
    _conforms: type[CommentClient] = GitLabNotes
