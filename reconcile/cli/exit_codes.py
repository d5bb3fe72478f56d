"""The one table of exit codes; `docs/cli.md` has the same, and a test compares them.

A code that is not in the table means failure as well.
"""

from collections.abc import Iterable
from enum import IntEnum

from reconcile.core.changes import Change, Hold, HoldReason, Keep
from reconcile.core.errors import ClusterError, PolicyError, ReconcileError, SourceError, SpecError


class Exit(IntEnum):
    """What the program says to its caller when it ends."""

    OK = 0
    CHANGES = 1
    USAGE = 2
    INVALID = 3
    UNREACHABLE = 4
    PARTLY = 5
    HELD = 6
    REFUSED = 7
    UNCOMMENTED = 8
    BUG = 70
    INTERRUPTED = 130
    PIPE = 141
    TERMINATED = 143


MEANINGS = {
    Exit.OK: "done, or nothing to do",
    Exit.CHANGES: "`diff` only: there are changes, held ones included",
    Exit.USAGE: "the command line is wrong",
    Exit.INVALID: "a session file, a setting or a template is not usable; the rest was done",
    Exit.UNREACHABLE: "the desired tree or the cluster could not be read",
    Exit.PARTLY: "`apply` only: some changes failed, the others were made",
    Exit.HELD: "`apply` only: a budget, a taken name or a conflict holds changes back, or the plan "
    "is not the approved one",
    Exit.REFUSED: "`diff --server-dry-run` only: the server would refuse some of the changes",
    Exit.UNCOMMENTED: "`review` only: all is well, but the comment could not be written",
    Exit.BUG: "a defect of the program: please report it",
    Exit.INTERRUPTED: "ended by Ctrl-C",
    Exit.PIPE: "the reader of the output went away",
    Exit.TERMINATED: "ended by SIGTERM: what was begun is finished, the rest is not begun",
}

_NEEDS_SOMEBODY = frozenset(
    {
        HoldReason.RESTART_BUDGET,
        HoldReason.DELETE_BUDGET,
        HoldReason.LAST_SESSIONS,
        HoldReason.OUT_OF_REALM,
        HoldReason.CONFLICT,
        HoldReason.TAKEN,
        HoldReason.CANNOT_ADOPT,
        HoldReason.DATA_LOSS,
    }
)
"""Held changes that stay held until a person decides; what waits for a session does not count."""


def exit_for(error: ReconcileError) -> Exit:
    """Map an error that ends the program."""
    match error:
        case SpecError():
            return Exit.INVALID
        case PolicyError():
            return Exit.HELD
        case SourceError() | ClusterError():
            return Exit.UNREACHABLE
        case _:
            return Exit.BUG


def exit_of_diff(
    changes: Iterable[Change], *, unread: bool, invalid: bool, refused: bool = False
) -> Exit:
    """Say how a diff ended; an error never looks like changes, nor like none."""
    if unread:
        return Exit.UNREACHABLE
    if invalid:
        return Exit.INVALID
    if refused:
        return Exit.REFUSED
    return Exit.OK if all(isinstance(change, Keep) for change in changes) else Exit.CHANGES


def exit_of_apply(changes: Iterable[Change], *, unread: bool, failed: bool, invalid: bool) -> Exit:
    """Say how an apply ended: the gravest of what happened."""
    if unread:
        return Exit.UNREACHABLE
    if failed:
        return Exit.PARTLY
    if invalid:
        return Exit.INVALID
    held = any(isinstance(c, Hold) and c.reason in _NEEDS_SOMEBODY for c in changes)
    return Exit.HELD if held else Exit.OK
