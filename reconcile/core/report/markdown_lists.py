"""What a reviewer must not overlook, in lists at the top: what ends, what is wrong, what waits."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import code, prose
from reconcile.core.report.plan_report import PlanReport
from reconcile.core.report.problems import Findings
from reconcile.core.report.reasons import disruption
from reconcile.core.report.results import admission_lines
from reconcile.core.report.view import ChangeView, PlanView

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
