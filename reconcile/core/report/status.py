"""The status of the live sessions: one row per session, as text in columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from reconcile.core.lifecycle.health import Phase
from reconcile.core.mask.masker import Masker
from reconcile.core.model import SessionId, SessionState
from reconcile.core.report.escape import TextOptions, escape_controls, escape_line, truncate_text

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
    that changed something; `held` describes each change that is withheld.
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
        if options.verbose:
            held = (_format_cell(masker.mask_text(each), _MAX_MESSAGE) for each in row.held)
            shown += [f"  ! {each}" for each in islice(held, _MAX_HELD)]
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
        _format_cell(row.revision[:_SHORT_REVISION], _MAX_WORD),
        str(len(row.held)) if row.held else "-",
    )
    reason = _format_cell(masker.mask_text(row.reason), _MAX_WORD)
    if not options.verbose:
        return (*front, reason)
    message = _format_cell(masker.mask_text(row.message), _MAX_MESSAGE)
    return (*front, _format_cell(row.digest, _MAX_WORD), reason, message)


_MAX_WORD: Final = 80
_MAX_MESSAGE: Final = 1000
_MAX_HELD: Final = 100


def _format_cell(text: str, max_width: int) -> str:
    """Escape a text and cut it: who may write to one namespace must not widen all rows."""
    return truncate_text(escape_line(text), max_width) or "-"


def _align_cells(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
