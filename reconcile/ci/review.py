"""The review of a pull request: validate, diff, show, comment, and say whether the job passes."""

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from reconcile.ci.commands import Git, Live, Offline, Program
from reconcile.ci.environment import Job
from reconcile.ci.forge import CommentError, DeniedError, Ended, Surroundings, keep_one
from reconcile.ci.output import ERRORS_FROM, Outlets, body_of, digest_of, limit_of, marker_of
from reconcile.core.errors import SourceError
from reconcile.engine.ports import Clock

_NO_BASE: Final = 4
"""What `diff` itself ends with where something to compare cannot be read."""

_DEFECT: Final = 70
"""What the program ends with where it is to blame itself."""


class FailOn(StrEnum):
    """What makes the job fail."""

    ERROR = "error"
    CHANGES = "changes"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the review is to do; empty strings mean the default.

    `limit` is the most bytes of the comment. `report` names a file for the comment's text.
    """

    folder: str
    templates: str
    against: Offline | Live | None
    limit: int
    comment: bool
    fail_on: FailOn
    report: str


@dataclass(frozen=True, slots=True)
class Reviewed:
    """How it ended: the exit code of validate and diff, and whether the comment failed."""

    code: int
    fails: bool
    uncommented: bool


class Review:
    """One review in one job."""

    def __init__(self, asked: Asked, job: Job, around: Surroundings, outlets: Outlets) -> None:
        self._asked = asked
        self._job = job
        self._git = Git(around)
        templates = asked.templates and self._git.inside(asked.templates)
        self._folder = self._git.inside(asked.folder)
        self._program = Program(around, self._git.top, self._folder, templates)
        self._outlets = outlets

    def run(self, clock: Clock) -> Reviewed:
        """Do all of it; a failing diff is reported like any other, and so is a missing base."""
        against = self._against()
        marker = marker_of(self._folder, live=isinstance(against, Live))
        validated = self._validate()
        ended = self._diff(against, marker)
        body = body_of(marker, ended, self._asked.limit)
        self._outlets.summary(body)
        if self._asked.report:
            _write(Path(self._asked.report), f"{body}\n")
        code = ended.code if ended.code >= ERRORS_FROM else validated or ended.code
        self._tell(code, ended)
        uncommented = not self._comment(marker, body, clock)
        return Reviewed(code, _fails(code, self._asked.fail_on), uncommented)

    def _against(self) -> Offline | Live | None:
        """Say what was asked to compare with; a fork gets no credentials, and so no cluster."""
        against = self._asked.against
        if isinstance(against, Live) and self._job.forked:
            self._outlets.notice(
                "The change comes from a fork, which gets no credentials of the cluster: it is "
                "compared with the files that it began from."
            )
            return None
        return against

    def _validate(self) -> int:
        with self._outlets.group("Validate"):
            form = "github" if self._job.forge == "github" else "text"
            ended = self._program.validate(form)
            self._outlets.commands(ended.out)
            self._outlets.say(ended.err)
        # `validate` knows no changes: 1 is the interpreter's own way to fail.
        return _DEFECT if ended.code == 1 else ended.code

    def _diff(self, against: Offline | Live | None, marker: str) -> Ended:
        with self._outlets.group("Diff"):
            try:
                where = against or Offline(self._git.base(self._job.start))
            except SourceError as error:
                ended = Ended(_NO_BASE, "", self._outlets.mask(str(error)))
            else:
                if isinstance(where, Offline):
                    self._outlets.say(f"Compared with {where.revision}.")
                ended = _believed(self._program.diff(where, limit_of(self._asked.limit, marker)))
            self._outlets.say(ended.err)
        return ended

    def _tell(self, code: int, ended: Ended) -> None:
        changes = "" if code >= ERRORS_FROM else str(code == 1).lower()
        self._outlets.output("exit-code", str(code))
        self._outlets.output("changes", changes)
        self._outlets.output("digest", digest_of(ended))
        if code >= ERRORS_FROM:
            self._outlets.error(f"reconcile ended with exit code {code}: see the log above.")

    def _comment(self, marker: str, body: str, clock: Clock) -> bool:
        """Say what became of the comment; False if it should be there and is not."""
        if not self._asked.comment:
            return True
        if self._job.comments is None:
            self._outlets.notice(f"No comment: {self._job.without}. The summary has the diff.")
            return True
        try:
            kept = keep_one(self._job.comments, marker, body, clock)
        except DeniedError as error:
            return self._denied(error)
        except CommentError as error:
            self._outlets.error(f"No comment: {error}. The summary has the diff.")
            return False
        self._outlets.say(f"Comment {kept.action}: {kept.url}")
        self._outlets.output("comment-url", kept.url)
        self._outlets.output("comment", kept.action)
        return True

    def _denied(self, error: DeniedError) -> bool:
        if self._job.forked:
            self._outlets.notice(
                "No comment: the change comes from a fork, whose token can only read. The summary "
                "has the diff."
            )
            return True
        self._outlets.error(f"No comment: {error}. The summary has the diff.")
        return False


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise SourceError(f"the report {path} cannot be written: {error.strerror}") from error


def _believed(ended: Ended) -> Ended:
    """Take an end without a word for a defect: an interpreter that finds no program ends with 1."""
    silent = ended.code < ERRORS_FROM and not ended.out.strip()
    return replace(ended, code=_DEFECT) if silent else ended


def _fails(code: int, fail_on: FailOn) -> bool:
    match fail_on:
        case FailOn.ERROR:
            return code >= ERRORS_FROM
        case FailOn.CHANGES:
            return code != 0
        case FailOn.NEVER:
            return False
