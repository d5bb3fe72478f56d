"""The table of exit codes; a test compares it with the one in `docs/cli.md`.

A code that is not in the table is a failure too.
"""

from collections.abc import Iterable
from enum import IntEnum

from reconcile.core.changes import Change, Hold, HoldReason, Keep
from reconcile.core.errors import ClusterError, PolicyError, ReconcileError, SourceError, SpecError


class ExitCode(IntEnum):
    """How the program ended, for its caller."""

    OK = 0
    CHANGES = 1
    USAGE = 2
    INVALID = 3
    UNREACHABLE = 4
    PARTIAL = 5
    HELD = 6
    REFUSED = 7
    COMMENT_FAILED = 8
    BUG = 70
    IO_ERROR = 74
    INTERRUPTED = 130
    PIPE = 141
    TERMINATED = 143


MEANINGS = {
    ExitCode.OK: "done, or nothing to do",
    ExitCode.CHANGES: "`diff` only: there are changes, held ones included",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.INVALID: "a session file, a setting or a template is not usable; the rest was done",
    ExitCode.UNREACHABLE: "the desired tree or the cluster could not be read",
    ExitCode.PARTIAL: "`apply` only: some changes failed, the others were made",
    ExitCode.HELD: "`apply` only: a budget, a taken name, a conflict or a finalizer holds "
    "changes back, or the plan is not the approved one",
    ExitCode.REFUSED: "`diff --server-dry-run` only: the server would refuse some of the changes",
    ExitCode.COMMENT_FAILED: "`review` only: all is well, but the comment could not be written",
    ExitCode.BUG: "a defect of the program: please report it",
    ExitCode.IO_ERROR: "the output, or a file that is needed, cannot be written or read",
    ExitCode.INTERRUPTED: "ended by Ctrl-C",
    ExitCode.PIPE: "the reader of the output went away",
    ExitCode.TERMINATED: "ended by SIGTERM: what was begun is finished, the rest is not begun",
}

_NEEDS_DECISION = frozenset(
    {
        HoldReason.RESTART_BUDGET,
        HoldReason.DELETE_BUDGET,
        HoldReason.LAST_SESSIONS,
        HoldReason.OUT_OF_REALM,
        HoldReason.CONFLICT,
        HoldReason.TAKEN,
        HoldReason.CANNOT_ADOPT,
        HoldReason.DATA_LOSS,
        HoldReason.FINALIZER,
        HoldReason.REFUSED,
    }
)
"""Reasons that hold a change until a person decides; waiting for a session does not count."""


def exit_code_for_error(error: ReconcileError | OSError) -> ExitCode:
    """Map an error that ends the program."""
    match error:
        case SpecError():
            return ExitCode.INVALID
        case PolicyError():
            return ExitCode.HELD
        case SourceError() | ClusterError():
            return ExitCode.UNREACHABLE
        case OSError():
            # Not a defect: the environment decides which files can be read and written.
            return ExitCode.IO_ERROR
        case _:
            return ExitCode.BUG


def diff_exit_code(
    changes: Iterable[Change], *, unreadable: bool, invalid: bool, refused: bool = False
) -> ExitCode:
    """Choose the exit code of a diff; an error is never reported as changes or as no changes."""
    if unreadable:
        return ExitCode.UNREACHABLE
    if invalid:
        return ExitCode.INVALID
    if refused:
        return ExitCode.REFUSED
    return ExitCode.OK if all(isinstance(change, Keep) for change in changes) else ExitCode.CHANGES


def apply_exit_code(
    changes: Iterable[Change], *, unreadable: bool, failed: bool, invalid: bool
) -> ExitCode:
    """Choose the exit code of an apply: the most severe result."""
    if unreadable:
        return ExitCode.UNREACHABLE
    if failed:
        return ExitCode.PARTIAL
    if invalid:
        return ExitCode.INVALID
    held = any(isinstance(c, Hold) and c.reason in _NEEDS_DECISION for c in changes)
    return ExitCode.HELD if held else ExitCode.OK
