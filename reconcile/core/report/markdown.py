"""The whole comment, within a limit: the summary always, of the sessions as many as fit."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from reconcile.core.changes import Commit
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import code
from reconcile.core.report.markdown_lists import Listing, findings_listings, fitting, listings, size
from reconcile.core.report.markdown_sessions import is_changed, rank, session_lines
from reconcile.core.report.origin import against_words, tree_words
from reconcile.core.report.plan_report import PlanReport
from reconcile.core.report.problems import Findings, problems_line
from reconcile.core.report.view import ChangeView, PlanView, SessionView, plan_view

LIMIT: Final = 65_536
"""What GitHub names as the most characters of a comment, taken as bytes of UTF-8.

GitHub speaks of characters, measurements find four bytes for each; bytes are the strictest way to
count, so whoever counts otherwise finds less.
"""

MINIMUM: Final = 4_096
"""The least limit: the summary fits into it, whatever is in it."""

_SHARE: Final = 12
"""Each list of the summary may take this part of the room, so that they leave half of it."""

_SURE: Final = 600
"""Bytes kept for the headings of lists and for the count of what is left out."""

_WIDEST_NAME: Final = 60
_NOT_IN_A_MARKER: Final = re.compile(r"[^A-Za-z0-9._/-]+")


def format_markdown(report: PlanReport, masker: Masker, limit: int = LIMIT) -> str:
    """Write a plan as a comment of at most `limit` bytes; its first line tells which one it is."""
    view = plan_view(report.plan, masker, whole=True)
    changed = sorted(filter(is_changed, view.sessions), key=rank)
    head = [marker(view.installation), _heading(view, changed, report.findings), ""]
    head += [*_table(view), "", *_stays(report.findings)]
    tail = [f"Plan digest: {code(report.digest)}", "", f"Compared: {_compared(report, masker)}"]
    room = limit - size(_text((*head, *tail))) - _SURE
    summary = [
        line
        for listing in listings(view, report, masker)
        for line in fitting(listing, _total(listing, report.findings), room // _SHARE)
    ]
    folded = _sessions(changed, room - size(_text(summary)))
    return _text((*head, *summary, *folded, *tail))


def format_failure(
    findings: Findings, installation: str, masker: Masker, limit: int = LIMIT
) -> str:
    """Write why there is no plan at all; `installation` is empty where it is not known."""
    head = [
        marker(installation),
        "### reconcile diff failed",
        "",
        "What would change is not known.",
        "",
    ]
    room = (limit - size(_text(head)) - _SURE) // 2
    body = [
        line
        for listing in findings_listings(findings, masker)
        for line in fitting(listing, _total(listing, findings), room)
    ]
    return _text((*head, *body))


def marker(installation: str) -> str:
    """The hidden line by which a comment is found again."""
    name = _NOT_IN_A_MARKER.sub("-", installation)[:_WIDEST_NAME]
    return " ".join(filter(None, ("<!-- reconcile diff:", name, "-->")))


def _heading(view: PlanView, changed: Sequence[SessionView], findings: Findings) -> str:
    # Where nothing changes but something is wrong, what is wrong is all that is known.
    errors = [_counted(len(findings.problems), "error")] if findings.problems else []
    gist = [_gist(view, changed)] if changed or not errors else []
    return f"### reconcile diff: {', '.join([*errors, *gist])}"


def _gist(view: PlanView, changed: Sequence[SessionView]) -> str:
    if not changed:
        return "no changes"
    made = [session for session in changed if any(map(_is_made, session.changes))]
    if not made:
        return f"{_counted(view.summary.hold, 'change')} held"
    drifted = all(
        _is_drift(change) for session in made for change in session.changes if _is_made(change)
    )
    return f"{'drift' if drifted else 'changes'} in {_counted(len(made), 'session')}"


def _is_made(change: ChangeView) -> bool:
    return change.action not in {"keep", "hold"}


def _is_drift(change: ChangeView) -> bool:
    fields = change.fields
    return bool(fields) and not any(isinstance(field.cause, Commit) for field in fields)


def _table(view: PlanView) -> Iterator[str]:
    counts = view.summary.as_dict()
    yield f"| {' | '.join(counts)} |"
    yield f"|{'---:|' * len(counts)}"
    yield f"| {' | '.join(f'{count:,}' for count in counts.values())} |"


def _stays(findings: Findings) -> Iterator[str]:
    if findings.problems:
        yield from (f"{problems_line(findings)} What they are about stays as it is.", "")


def _total(listing: Listing, findings: Findings) -> int:
    totals = {"Errors": len(findings.problems), "Warnings": len(findings.warnings)}
    return totals.get(listing.title, len(listing.entries))


def _sessions(changed: Sequence[SessionView], room: int) -> Iterator[str]:
    """Fold sessions until one does not fit; those behind it are counted."""
    for position, session in enumerate(changed):
        text = _text(session_lines(session))
        room -= size(text) + 1
        if room < 0:
            left = len(changed) - position
            yield f"{left:,} of {_counted(len(changed), 'session')} left out: too long for here."
            yield ""
            return
        yield text


def _compared(report: PlanReport, masker: Masker) -> str:
    ours, name, other = against_words(report.against)
    words, commit = tree_words(report.plan.revision)
    named = f"{code(masker.text(name), _WIDEST_NAME)} ({code(other)})" if name else ours
    return f"{named} → {words}" + (f" {code(commit)}" if commit else "")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
