"""The review of a pull request: validate, diff, show, comment, and decide if the job passes."""

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from reconcile.ci.commands import (
    ClusterComparison,
    JobRepository,
    ReconcileProgram,
    RevisionComparison,
)
from reconcile.ci.environment import CiJob
from reconcile.ci.forge import (
    CommentError,
    CommentForbiddenError,
    JobContext,
    ProcessResult,
    upsert_comment,
)
from reconcile.ci.output import (
    FIRST_ERROR_CODE,
    JobOutput,
    build_comment_body,
    build_marker,
    find_plan_digest,
    limit_without_marker,
)
from reconcile.core.errors import SourceError
from reconcile.engine.ports import Clock

_UNREACHABLE: Final = 4
"""The exit code of `diff` if the base or the cluster cannot be read."""

_BUG: Final = 70
"""The exit code for a defect of the program."""


class FailOn(StrEnum):
    """What makes the job fail."""

    ERROR = "error"
    CHANGES = "changes"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """The options of a review; empty strings mean the default.

    `limit` is the maximum size of the comment in bytes. `report` is a file for its text.
    """

    folder: str
    templates: str
    against: RevisionComparison | ClusterComparison | None
    limit: int
    comment: bool
    fail_on: FailOn
    report: str


@dataclass(frozen=True, slots=True)
class ReviewResult:
    """The exit code of validate and diff, and whether the comment could not be written."""

    code: int
    is_failure: bool
    comment_failed: bool


class Review:
    """One review in one job."""

    def __init__(
        self, options: ReviewOptions, job: CiJob, context: JobContext, output: JobOutput
    ) -> None:
        self._options = options
        self._job = job
        self._repository = JobRepository(context)
        templates = options.templates and self._repository.relative_path(options.templates)
        self._folder = self._repository.relative_path(options.folder)
        self._program = ReconcileProgram(context, self._repository.top, self._folder, templates)
        self._output = output

    def run(self, clock: Clock) -> ReviewResult:
        """Run the review; a failed diff and a missing base are reported in the comment too."""
        against = self._choose_comparison()
        marker = build_marker(self._folder, live=isinstance(against, ClusterComparison))
        validate_code = self._validate()
        diff = self._diff(against, marker)
        body = build_comment_body(marker, diff, self._options.limit)
        self._output.write_summary(body)
        if self._options.report:
            self._output.write_report(Path(self._options.report), f"{body}\n")
        code = diff.code if diff.code >= FIRST_ERROR_CODE else validate_code or diff.code
        self._set_outputs(code, diff)
        comment_failed = not self._write_comment(marker, body, clock)
        return ReviewResult(code, _is_failure(code, self._options.fail_on), comment_failed)

    def _choose_comparison(self) -> RevisionComparison | ClusterComparison | None:
        """Choose what to compare with; a fork gets no credentials, and so no cluster."""
        against = self._options.against
        if isinstance(against, ClusterComparison) and self._job.is_fork:
            self._output.notice(
                "The change comes from a fork, which gets no credentials of the cluster: it is "
                "compared with the files of its base."
            )
            return None
        return against

    def _validate(self) -> int:
        with self._output.group("Validate"):
            form = "github" if self._job.forge == "github" else "text"
            result = self._program.validate(form)
            self._output.workflow_commands(result.out)
            self._output.info(result.err)
        # `validate` never exits with 1 for changes: the interpreter could not start it.
        return _BUG if result.code == 1 else result.code

    def _diff(
        self, against: RevisionComparison | ClusterComparison | None, marker: str
    ) -> ProcessResult:
        with self._output.group("Diff"):
            try:
                if isinstance(against, ClusterComparison):
                    self._repository.check_kubeconfig(against)
                base = against or RevisionComparison(self._repository.find_base(self._job.base))
            except SourceError as error:
                result = ProcessResult(_UNREACHABLE, "", self._output.mask(str(error)))
            else:
                if isinstance(base, RevisionComparison):
                    self._output.info(f"Compared with {base.revision}.")
                result = _treat_silence_as_bug(
                    self._program.diff(base, limit_without_marker(self._options.limit, marker))
                )
            self._output.info(result.err)
        return result

    def _set_outputs(self, code: int, result: ProcessResult) -> None:
        changes = "" if code >= FIRST_ERROR_CODE else str(code == 1).lower()
        self._output.set_output("exit-code", str(code))
        self._output.set_output("changes", changes)
        self._output.set_output("digest", find_plan_digest(result))
        if code >= FIRST_ERROR_CODE:
            self._output.error(f"reconcile ended with exit code {code}: see the log above.")

    def _write_comment(self, marker: str, body: str, clock: Clock) -> bool:
        """Write the comment; False if it should exist and does not."""
        if not self._options.comment:
            return True
        if self._job.comments is None:
            self._output.notice(
                f"No comment: {self._job.no_comment_reason}. The summary has the diff."
            )
            return True
        try:
            result = upsert_comment(self._job.comments, marker, body, clock)
        except CommentForbiddenError as error:
            return self._report_forbidden(error)
        except CommentError as error:
            self._output.error(f"No comment: {error}. The summary has the diff.")
            return False
        self._output.info(f"Comment {result.action}: {result.url}")
        self._output.set_output("comment-url", result.url)
        self._output.set_output("comment", result.action)
        return True

    def _report_forbidden(self, error: CommentForbiddenError) -> bool:
        if self._job.is_fork:
            self._output.notice(
                "No comment: the change comes from a fork, whose token can only read. The summary "
                "has the diff."
            )
            return True
        self._output.error(f"No comment: {error}. The summary has the diff.")
        return False


def _treat_silence_as_bug(result: ProcessResult) -> ProcessResult:
    """Report an end without output as a defect: without the program, Python exits with 1."""
    silent = result.code < FIRST_ERROR_CODE and not result.out.strip()
    return replace(result, code=_BUG) if silent else result


def _is_failure(code: int, fail_on: FailOn) -> bool:
    match fail_on:
        case FailOn.ERROR:
            return code >= FIRST_ERROR_CODE
        case FailOn.CHANGES:
            return code != 0
        case FailOn.NEVER:
            return False
