"""Chooses the file and the line in which a problem of merged settings is reported."""

from collections.abc import Iterator, Sequence

from reconcile.core.errors import Problem
from reconcile.core.model import Origin
from reconcile.core.source_location import DocumentPath, Position, format_document_path
from reconcile.core.spec.consistency import Finding
from reconcile.core.spec.declarations import Places, SessionDeclaration


def build_problem(origin: Origin, field: str, message: str) -> Problem:
    """Build a problem of a session as a whole."""
    return Problem(origin.path, origin.line, origin.column, field, message)


def build_finding_problem(
    finding: Finding, session: SessionDeclaration, settings: Sequence[tuple[str, Places]]
) -> Problem:
    """Build the problem, at the setting that is written nearest to the session.

    `settings` are the paths and places of `project.yaml` and `defaults.yaml`, as far as they exist.
    """
    origin = session.origin
    files = [
        (origin.path, session.places),
        *settings,
        (origin.path, {finding.paths[0]: (origin.line, origin.column)}),
    ]
    path, position, setting = next(
        (path, position, setting)
        for path, places in files
        for setting in (*finding.paths, finding.cause)
        for position in _find_positions(places, setting)
    )
    named = finding.paths[0] if setting == finding.cause else setting
    field = format_document_path(("spec", *named))
    is_own = path == origin.path
    message = finding.message if is_own else f"{finding.message}; session {session.id}"
    return Problem(path, *position, field, message)


def _find_positions(places: Places, setting: DocumentPath) -> Iterator[Position]:
    """Yield where a setting, or the first value below it, is written."""
    if setting in places:
        yield places[setting]
    elif setting:
        yield from (at for path, at in places.items() if path[: len(setting)] == setting)
