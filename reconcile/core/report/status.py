"""The status of the live sessions as text: one row per session, and what is remarkable below it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final

from reconcile.core.lifecycle.containers import Remark
from reconcile.core.lifecycle.pod_status import Phase
from reconcile.core.mask.masker import Masker
from reconcile.core.model import SessionId, SessionState
from reconcile.core.report.escape import TextOptions, escape_controls
from reconcile.core.report.remarks import format_remark, format_word

_STYLES: Final = {
    Phase.RUNNING: "+",
    Phase.PENDING: "~",
    Phase.STOPPING: "~",
    Phase.FAILED: "-",
    Phase.UNKNOWN: "-",
    Phase.COMPLETED: "dim",
    Phase.STOPPED: "dim",
}
_FRONT_COLUMNS: Final = ("NAMESPACE", "SESSION", "WANTED", "PHASE", "RESTARTS", "AGE", "RECORD-AGE")
_COLUMNS: Final = (*_FRONT_COLUMNS, "REVISION", "HELD", "REASON")
_VERBOSE_COLUMNS: Final = (*_COLUMNS[:-1], "DIGEST", "REASON")
_PLAIN: Final = TextOptions()
_SHORT_REVISION: Final = 12
_MAX_NAMES: Final = 5
_AGE_UNITS: Final = ((172_800, 86_400, "d"), (7_200, 3_600, "h"), (120, 60, "m"), (0, 1, "s"))


class NextStep(Enum):
    """How a session whose pod has ended goes on."""

    NONE = ""
    START_AGAIN = (
        "to start the session again, apply it with `state: Stopped`, and then with `state: Running`"
    )
    DELETE_POD = "to continue the work in a new pod, delete its pod: the next pass creates one"
    RETRY = "the next pass replaces the pod, since its runner never started"
    NODE = "the work continues when the node answers again, or in a new pod when it is removed"


@dataclass(frozen=True, slots=True)
class StatusRow:
    """The status of one live session.

    Ages are in seconds, negative if unknown: `age` is that of the pod, `record_age` that of the
    Record, which is as old as the session. `restarts` counts those of all containers. `revision`
    and `digest` are those of the last pass that changed something; `held` describes each change
    that is withheld, `unflushed` a pod that ended before everything was stored.
    """

    session: SessionId
    state: SessionState
    phase: Phase
    reason: str = ""
    remarks: tuple[Remark, ...] = ()
    next_step: NextStep = NextStep.NONE
    restarts: int = 0
    age: float = -1
    record_age: float = -1
    revision: str = ""
    held: tuple[str, ...] = ()
    digest: str = ""
    unflushed: str = ""


def format_status(rows: Sequence[StatusRow], masker: Masker, options: TextOptions = _PLAIN) -> str:
    """Format the rows in columns; `verbose` adds the digest and every held change."""
    if not rows:
        return "No sessions.\n"
    header = _VERBOSE_COLUMNS if options.verbose else _COLUMNS
    cells = [header, *(_format_cells(row, masker, options) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_align_cells(line, widths) for line in cells]
    shown = [options.paint("bold", lines[0])]
    for row, line in zip(rows, lines[1:], strict=True):
        shown.append(options.paint(_STYLES[row.phase], line))
        shown += [f"  {text}" for text in format_remarks(row, masker)]
        if row.unflushed:
            shown.append(f"  ! {format_remark(Remark('', row.unflushed), masker)}")
        if options.verbose:
            held = (format_remark(Remark("", each), masker) for each in row.held)
            shown += [f"  ! {each}" for each in islice(held, _MAX_HELD)]
    next_steps = list(_format_next_steps(rows))
    return "\n".join([*shown, *([""] if next_steps else []), *next_steps]) + "\n"


def format_remarks(row: StatusRow, masker: Masker) -> list[str]:
    """Format what is remarkable about a session, each in one masked line."""
    return [text for text in (format_remark(remark, masker) for remark in row.remarks) if text]


def _format_next_steps(rows: Sequence[StatusRow]) -> Iterator[str]:
    for step in NextStep:
        names = [escape_controls(str(row.session)) for row in rows if row.next_step is step]
        if names and step is not NextStep.NONE:
            more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            yield f"{', '.join(names[:_MAX_NAMES])}{more}: {step.value}"


def format_age(seconds: float) -> str:
    """Format an age as kubectl does, in the largest unit with a count of at least two: `90s`."""
    for at_least, unit, letter in _AGE_UNITS:
        if seconds >= at_least:
            return f"{int(seconds // unit)}{letter}"
    return "-"


def _format_cells(row: StatusRow, masker: Masker, options: TextOptions) -> tuple[str, ...]:
    return (
        escape_controls(row.session.namespace),
        escape_controls(row.session.name),
        row.state.value,
        row.phase.value,
        str(row.restarts) if row.restarts else "-",
        format_age(row.age),
        format_age(row.record_age),
        format_word(row.revision[:_SHORT_REVISION], masker) or "-",
        str(len(row.held)) if row.held else "-",
        *([format_word(masker.mask_digest(row.digest), masker) or "-"] if options.verbose else []),
        format_word(row.reason, masker) or "-",
    )


_MAX_HELD: Final = 100


def _align_cells(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
