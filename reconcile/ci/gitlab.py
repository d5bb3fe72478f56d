"""The notes of a merge request on GitLab."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from reconcile.ci.forge import Comment, Comments, MissingError
from reconcile.ci.http import Forge, Wire

_ADVICE: Final = {
    401: "the token is not accepted: it is wrong or has expired",
    403: "the token may not write here: it needs the scope `api` and the role Reporter or higher",
    404: "the token does not see this merge request: make it in this project, with the scope `api`",
    400: "GitLab does not accept the text: give a smaller limit",
    422: "GitLab does not accept the text: give a smaller limit",
}
_QUICK_ACTION: Final = re.compile(r"^([ \t]*)/(?=[A-Za-z])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class GitLabRequest:
    """Which merge request: the API's URL, the project's id and page, its number, and the token."""

    api: str
    project: str
    page: str
    number: int
    token: str = field(repr=False)


class GitLabNotes:
    """Notes of one merge request."""

    def __init__(self, request: GitLabRequest) -> None:
        self._request = request
        self._notes = f"/projects/{request.project}/merge_requests/{request.number}/notes"
        self._wire = Wire(Forge(request.api, {"PRIVATE-TOKEN": request.token}, _ADVICE))
        self._me: int | None = None

    def stored(self, body: str) -> str:
        # A line that begins like a quick action (`/merge`) would be carried out as one.
        return _QUICK_ACTION.sub(r"\1\\/", body)

    def mine(self) -> Iterator[Comment]:
        if self._me is None:
            self._me = self._wire.send("ask whose token it is", "GET", "/user")["id"]
        path = f"{self._notes}?per_page=100&order_by=created_at&sort=asc"
        for entry in self._wire.pages("list the notes", path):
            if not entry.get("system") and (entry.get("author") or {}).get("id") == self._me:
                yield self._comment(entry)

    def create(self, body: str) -> Comment:
        content = {"body": body}
        return self._comment(self._wire.send("create the note", "POST", self._notes, content))

    def update(self, comment: Comment, body: str) -> Comment:
        path = f"{self._notes}/{comment.ident}"
        return self._comment(self._wire.send("update the note", "PUT", path, {"body": body}))

    def delete(self, comment: Comment) -> None:
        with suppress(MissingError):
            self._wire.send("delete a second note", "DELETE", f"{self._notes}/{comment.ident}")

    def _comment(self, entry: dict[str, Any]) -> Comment:
        page = f"{self._request.page}/-/merge_requests/{self._request.number}#note_{entry['id']}"
        return Comment(entry["id"], entry.get("body") or "", page)


if TYPE_CHECKING:
    _conforms: type[Comments] = GitLabNotes
