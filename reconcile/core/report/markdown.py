"""The whole comment, within a limit: the summary always, of the sessions as many as fit.

What a reviewer must not overlook, in lists at the top: what ends, what is wrong, what waits.

One session of a plan, folded: a line for each object, and a fence for what changes in it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reconcile.core.changes import Commit, Drift, FieldChange
from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import code, code_tag, fence, prose
from reconcile.core.report.problems import Findings, problems_line
from reconcile.core.report.results import admission_lines
from reconcile.core.report.view import (
    DRIFT,
    ChangeView,
    PlanReport,
    PlanView,
    SessionView,
    against_words,
    disruption,
    part,
    plan_view,
    tree_words,
)
from reconcile.core.report.yaml_diff import added, edits, fragment, whole_rows, without_prose

_MOST_ENTRIES: Final = 30
_MOST_OBJECTS: Final = 4


@dataclass(frozen=True, slots=True)
class Listing:
    """A heading and its entries, the gravest first."""

    title: str
    entries: Sequence[str]


def listings(view: PlanView, report: PlanReport, masker: Masker) -> Iterator[Listing]:
    """List what deserves a look; none of the lists is empty."""
    found = (
        Listing("Deletes", list(_deletes(view))),
        Listing("Restarts and replacements", list(_disruptions(view))),
        *findings_listings(report.findings, masker),
        Listing("Server dry run", [f"- {prose(line)}" for line in admission_lines(report, masker)]),
        Listing("Held", list(_holds(view))),
    )
    return (listing for listing in found if listing.entries)


def findings_listings(findings: Findings, masker: Masker) -> Iterator[Listing]:
    """List what is wrong with files and cluster."""
    named = (("Errors", findings.problems), ("Warnings", findings.warnings))
    for title, problems in named:
        if problems:
            yield Listing(title, [_problem(each, masker) for each in problems[:_MOST_ENTRIES]])


def fitting(listing: Listing, total: int, room: int) -> Iterator[str]:
    """Show as many entries as there is room for, in bytes, and count the others of `total`."""
    yield from (f"**{listing.title}**", "")
    shown = 0
    for entry in listing.entries[:_MOST_ENTRIES]:
        room -= size(entry) + 1
        if room < 0:
            break
        shown += 1
        yield entry
    if shown < total:
        yield f"- and {total - shown:,} more" if shown else f"- {total:,} in all"
    yield ""


def size(text: str) -> int:
    """Count a text as the strictest reader may count it: in bytes."""
    return len(text.encode())


def _deletes(view: PlanView) -> Iterator[str]:
    for session in view.sessions:
        for message, changes in _grouped(session.changes, "delete").items():
            yield f"- {code(str(session.session))}: {_objects(changes)}: {message}"


def _holds(view: PlanView) -> Iterator[str]:
    for session in view.sessions:
        for message, changes in _grouped(session.changes, "hold").items():
            yield f"- {code(str(session.session))}: {_objects(changes)}: {message}"


def _grouped(changes: Iterable[ChangeView], action: str) -> dict[str, list[ChangeView]]:
    """Gather a session's changes for which the same is to be said."""
    groups: dict[str, list[ChangeView]] = {}
    for change in changes:
        if change.action == action:
            held = f"{change.withholds} held, " if change.withholds else ""
            groups.setdefault(held + prose(change.message), []).append(change)
    return groups


def _objects(changes: Sequence[ChangeView]) -> str:
    names = [code(f"{change.ref.kind} {change.ref.name}") for change in changes[:_MOST_OBJECTS]]
    rest = len(changes) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest else "")


def _disruptions(view: PlanView) -> Iterator[str]:
    for session in view.sessions:
        for change in session.changes:
            reason = disruption(change)
            if reason is not None:
                yield f"- {code(str(change.ref))} {reason.words(map(code, reason.paths))}"


def _problem(problem: Problem, masker: Masker) -> str:
    place = f"{problem.path}:{problem.line}:{problem.column}" if problem.line else problem.path
    said = (code(masker.text(place)) if place else "", code(masker.text(problem.field)))
    shown = ": ".join(part for part in said[: 2 if problem.field else 1] if part)
    message = prose(masker.text(problem.message))
    return f"- {shown}: {message}" if shown else f"- {message}"


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
