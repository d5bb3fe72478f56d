"""The sessions of a comment: each collapsed with its diffs, or at least its name."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from reconcile.core.changes import Drift, FieldChange
from reconcile.core.model import SessionId
from reconcile.core.report.escape import (
    format_code_fence,
    format_code_span,
    format_html_code,
    format_prose,
)
from reconcile.core.report.view import (
    DELIVERS_PROMPT,
    DRIFT_TITLE,
    ChangeView,
    SessionView,
    find_disruption,
    split_by_cause,
)
from reconcile.core.report.yaml_diff import (
    build_fragment,
    diff_lines,
    dump_object,
    mark_added,
    omit_unchanged_text,
)

_NAME_OVERHEAD: Final = 24
"""Bytes of a line of names besides the names."""

_SPAN_OVERHEAD: Final = 4
"""Bytes of the backticks, comma and space of a name."""

_NAMES_A_SPAN: Final = 20
_MAX_MISFITS: Final = 8

_ACTION_ORDER: Final = ("delete", "replace", "patch", "create", "hold")
_ACTION_LABELS: Final = {
    "create": "to create",
    "patch": "to patch",
    "replace": "to replace",
    "delete": "to delete",
    "hold": "held",
}


def disruption_rank(session: SessionView) -> int:
    """Return the rank of a session: deletes first, then restarts, then other changes."""
    actions = {change.action for change in session.changes}
    if "delete" in actions:
        return 0
    return 1 if any(map(find_disruption, session.changes)) else 2


def format_session(session: SessionView) -> Iterator[str]:
    """Yield a collapsed session; unchanged objects are left out."""
    changes = [change for change in session.changes if change.action != "keep"]
    name = format_html_code(str(session.session))
    yield f"<details><summary>{name}: {_format_counts(changes)}</summary>"
    yield ""
    for change in changes:
        yield from _format_change(change)
    yield "</details>"


def _format_counts(changes: Iterable[ChangeView]) -> str:
    listed = list(changes)
    counts = Counter(change.action for change in listed)
    labels = [
        f"{counts[action]} {_ACTION_LABELS[action]}" for action in _ACTION_ORDER if counts[action]
    ]
    drifted = sum(1 for change in listed if split_by_cause(change.fields).drift)
    return ", ".join([*labels, *([f"{drifted} drifted"] if drifted else [])])


def _format_change(change: ChangeView) -> Iterator[str]:
    name = format_code_span(f"{change.ref.kind} {change.ref.name}")
    yield f"**{change.action}** {name}{_format_reason(change)}"
    yield ""
    for note in change.notes:
        yield from (format_prose(note), "")
    if change.created_object is not None:
        yield from _format_diff_fence(
            map(str, mark_added(dump_object(change.created_object.mask())))
        )
    by_cause = split_by_cause(change.fields)
    if by_cause.commit:
        yield from _format_fields(by_cause.commit)
    for drifted in by_cause.drift:
        yield from (_format_drift(drifted.cause), "")
        yield from _format_fields(drifted.fields)


def _format_reason(change: ChangeView) -> str:
    reason = find_disruption(change)
    if reason is not None:
        return f" {reason.format(map(format_code_span, reason.paths))}"
    if change.delivers_prompt:
        return f" {DELIVERS_PROMPT}"
    held = f"{change.held_action} held, " if change.held_action else ""
    return f": {held}{format_prose(change.message)}" if change.message else ""


def _format_drift(cause: Drift) -> str:
    by = f" by {format_code_span(cause.manager)}" if cause.manager else ""
    return f"**{DRIFT_TITLE}**{by}" + (f" at {format_code_span(cause.time)}" if cause.time else "")


def _format_fields(fields: Iterable[FieldChange]) -> Iterator[str]:
    sides = build_fragment(fields)
    yield from _format_diff_fence(omit_unchanged_text(diff_lines(sides.before, sides.after)))


def _format_diff_fence(lines: Iterable[str]) -> Iterator[str]:
    yield from (*format_code_fence(lines, "diff"), "")


def format_sessions(changed: Sequence[SessionView], available_bytes: int) -> Iterator[str]:
    """Yield collapsed sessions; if some do not fit, the names of all and as many as fit."""
    texts = map(join_lines, map(format_session, changed))
    first = list(_take_bytes(texts, available_bytes))
    if len(first) == len(changed):
        yield from first
        return
    names = join_lines(_format_names(changed, available_bytes * 3 // 4))
    yield names
    available_bytes -= byte_length(names) + 1
    shown = 0
    for text in first:
        if byte_length(text) < available_bytes:
            available_bytes -= byte_length(text) + 1
            shown += 1
            yield text
    total = format_count(len(changed), "session")
    yield from (f"{len(changed) - shown:,} of {total} omitted: the comment would be too long.", "")


def _take_bytes(texts: Iterable[str], available_bytes: int) -> Iterator[str]:
    """Yield the texts that fit, but try only a few after that: making them takes long."""
    misfits = 0
    for text in texts:
        size = byte_length(text) + 1
        if size <= available_bytes:
            available_bytes -= size
            yield text
        elif (misfits := misfits + 1) > _MAX_MISFITS:
            return


def _format_names(changed: Sequence[SessionView], available_bytes: int) -> Iterator[str]:
    """Yield the names of sessions by what happens to them, the most severe first."""
    groups: dict[str, list[SessionId]] = {}
    for session in changed:
        counts = _format_counts(change for change in session.changes if change.action != "keep")
        groups.setdefault(counts, []).append(session.session)
    size = sum(byte_length(str(each.session)) + _SPAN_OVERHEAD for each in changed)
    is_short = size + len(groups) * _NAME_OVERHEAD > available_bytes
    yield from ("**Changed sessions**", "")
    for counts, sessions in groups.items():
        listed = list(_list_names(sessions, is_short=is_short))
        shown = list(_take_bytes(listed, available_bytes - byte_length(counts) - _NAME_OVERHEAD))
        available_bytes -= sum(byte_length(text) + 1 for text in shown) + _NAME_OVERHEAD
        omitted = sum(_count_names(text) for text in listed[len(shown) :])
        if shown or available_bytes > 0:
            more = [f"{omitted:,} more"] if omitted else []
            yield f"- {counts}: {', '.join([*shown, *more])}"
    yield ""


def _list_names(sessions: Sequence[SessionId], *, is_short: bool) -> Iterator[str]:
    """Yield full names; or short ones after their namespace, many in one code span."""
    if not is_short:
        yield from (format_code_span(str(session)) for session in sessions)
        return
    by_namespace: dict[str, list[str]] = {}
    for session in sessions:
        by_namespace.setdefault(session.namespace, []).append(session.name)
    for namespace, names in by_namespace.items():
        for at in range(0, len(names), _NAMES_A_SPAN):
            text = f"{namespace}/: {' '.join(names[at : at + _NAMES_A_SPAN])}"
            yield format_code_span(text, len(text))


def _count_names(span: str) -> int:
    _, short, names = span.partition("/: ")
    return len(names.split()) if short else 1


def byte_length(text: str) -> int:
    """Return the length of a text in bytes, the strictest way to count."""
    return len(text.encode("utf-8", "surrogatepass"))


def format_count(number: int, noun: str) -> str:
    """Return a number and its noun, in the plural if needed."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def join_lines(lines: Iterable[str]) -> str:
    """Return the lines as one text."""
    return "".join(f"{line}\n" for line in lines)
