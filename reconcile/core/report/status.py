"""The status of the live sessions: one row per session, as text in columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reconcile.core.lifecycle.health import Phase
from reconcile.core.mask.masker import Masker
from reconcile.core.model import SessionId, SessionState
from reconcile.core.report.escape import TextOptions, escape_controls

_STYLES: Final = {
    Phase.RUNNING: "+",
    Phase.PENDING: "~",
    Phase.STOPPING: "~",
    Phase.FAILED: "-",
    Phase.UNKNOWN: "-",
    Phase.COMPLETED: "dim",
    Phase.STOPPED: "dim",
}
_COLUMNS: Final = ("NAMESPACE", "SESSION", "WANTED", "PHASE", "AGE", "REVISION", "HELD", "REASON")
_VERBOSE_COLUMNS: Final = (*_COLUMNS[:-1], "DIGEST", "REASON", "MESSAGE")
_PLAIN: Final = TextOptions()
_SHORT_REVISION: Final = 12
_AGE_UNITS: Final = ((172_800, 86_400, "d"), (7_200, 3_600, "h"), (120, 60, "m"), (0, 1, "s"))


@dataclass(frozen=True, slots=True)
class StatusRow:
    """The status of one live session.

    `age` is in seconds, negative if unknown. `revision` and `digest` are those of the last pass
    that changed something; `held` describes each change that is withheld, `unflushed` a pod that
    ended before everything was stored.
    """

    session: SessionId
    state: SessionState
    phase: Phase
    reason: str = ""
    message: str = ""
    age: float = -1
    revision: str = ""
    held: tuple[str, ...] = ()
    digest: str = ""
    unflushed: str = ""


def format_status(rows: Sequence[StatusRow], masker: Masker, options: TextOptions = _PLAIN) -> str:
    """Format the rows in columns; `verbose` adds digest, message and every held change."""
    if not rows:
        return "No sessions.\n"
    header = _VERBOSE_COLUMNS if options.verbose else _COLUMNS
    cells = [header, *(_format_cells(row, masker, options) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_align_cells(line, widths) for line in cells]
    shown = [options.paint("bold", lines[0])]
    for row, line in zip(rows, lines[1:], strict=True):
        shown.append(options.paint(_STYLES[row.phase], line))
        if row.unflushed:
            shown.append(f"  ! {escape_controls(masker.mask_text(row.unflushed))}")
        if options.verbose:
            shown += [f"  ! {escape_controls(masker.mask_text(held))}" for held in row.held]
    return "\n".join(shown) + "\n"


def format_age(seconds: float) -> str:
    """Format an age as kubectl does, in the largest unit with a count of at least two: `90s`."""
    for at_least, unit, letter in _AGE_UNITS:
        if seconds >= at_least:
            return f"{int(seconds // unit)}{letter}"
    return "-"


def _format_cells(row: StatusRow, masker: Masker, options: TextOptions) -> tuple[str, ...]:
    front = (
        escape_controls(row.session.namespace),
        escape_controls(row.session.name),
        row.state.value,
        row.phase.value,
        format_age(row.age),
        escape_controls(row.revision[:_SHORT_REVISION]) or "-",
        str(len(row.held)) if row.held else "-",
    )
    reason = escape_controls(masker.mask_text(row.reason)) or "-"
    if not options.verbose:
        return (*front, reason)
    return (
        *front,
        escape_controls(masker.mask_digest(row.digest)) or "-",
        reason,
        escape_controls(masker.mask_text(row.message)) or "-",
    )


def _align_cells(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
