"""One session of a plan, folded: a line for each object, and a fence for what changes in it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from reconcile.core.changes import Drift, FieldChange
from reconcile.core.report.causes import DRIFT, part
from reconcile.core.report.escape import code, code_tag, prose
from reconcile.core.report.fragments import fragment
from reconcile.core.report.hunks import added, edits, without_prose
from reconcile.core.report.markdown_fences import fence
from reconcile.core.report.reasons import disruption
from reconcile.core.report.view import ChangeView, SessionView
from reconcile.core.report.yaml_diff import whole_rows

_ORDER: Final = ("delete", "replace", "patch", "create", "hold")
_WORDS: Final = {
    "create": "to create",
    "patch": "to patch",
    "replace": "to replace",
    "delete": "to delete",
    "hold": "held",
}


def is_changed(session: SessionView) -> bool:
    """Tell whether anything happens to a session, or is held."""
    return any(change.action != "keep" for change in session.changes)


def rank(session: SessionView) -> int:
    """Order sessions: those that lose something first, then restarts, then what is harmless."""
    actions = {change.action for change in session.changes}
    if "delete" in actions:
        return 0
    return 1 if any(map(disruption, session.changes)) else 2


def session_lines(session: SessionView) -> Iterator[str]:
    """Fold one session; an object that stays is left out."""
    changes = [change for change in session.changes if change.action != "keep"]
    yield f"<details><summary>{code_tag(str(session.session))}: {_counts(changes)}</summary>"
    yield ""
    for change in changes:
        yield from _change(change)
    yield "</details>"


def _counts(changes: Iterable[ChangeView]) -> str:
    listed = list(changes)
    counts = Counter(change.action for change in listed)
    said = [f"{counts[action]} {_WORDS[action]}" for action in _ORDER if counts[action]]
    drifted = sum(1 for change in listed if part(change.fields).drift)
    return ", ".join([*said, *([f"{drifted} drifted"] if drifted else [])])


def _change(change: ChangeView) -> Iterator[str]:
    yield f"**{change.action}** {code(f'{change.ref.kind} {change.ref.name}')}{_why(change)}"
    yield ""
    for note in change.notes:
        yield from (prose(note), "")
    if change.whole is not None:
        yield from _fenced(map(str, added(whole_rows(change.whole.shown()))))
    parted = part(change.fields)
    if parted.commit:
        yield from _fields(parted.commit)
    for drifted in parted.drift:
        yield from (_drift(drifted.cause), "")
        yield from _fields(drifted.fields)


def _why(change: ChangeView) -> str:
    reason = disruption(change)
    if reason is not None:
        return f" {reason.words(map(code, reason.paths))}"
    held = f"{change.withholds} held, " if change.withholds else ""
    return f": {held}{prose(change.message)}" if change.message else ""


def _drift(cause: Drift) -> str:
    by = f" by {code(cause.manager)}" if cause.manager else ""
    return f"**{DRIFT}**{by}" + (f" at {code(cause.time)}" if cause.time else "")


def _fields(fields: Iterable[FieldChange]) -> Iterator[str]:
    sides = fragment(fields)
    yield from _fenced(without_prose(edits(sides.before, sides.after)))


def _fenced(lines: Iterable[str]) -> Iterator[str]:
    yield from (*fence(lines, "diff"), "")
