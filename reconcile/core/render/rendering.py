"""One session and the templates to what is wanted of it, or to every reason why not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from reconcile.core.errors import Problem, SpecError
from reconcile.core.manifest import manifest_of, record_manifest, wanted_of
from reconcile.core.model import KubeObject, Manifest, ObjectRef, Session, Wanted
from reconcile.core.render.render import Printed, print_template
from reconcile.core.render.templates import Templates
from reconcile.core.render.validate import complaints
from reconcile.core.render.variables import Surroundings, variables
from reconcile.core.source_location import dotted
from reconcile.core.yaml_loader import Document, load_documents


@dataclass(frozen=True, slots=True)
class Unrendered:
    """A session that cannot be carried out: what lives of it must be left as it is."""

    session: Session
    problems: tuple[Problem, ...]


RenderResult: TypeAlias = Wanted | Unrendered


def render(session: Session, templates: Templates, surroundings: Surroundings) -> RenderResult:
    """Render every template for one session; problems of all of them are reported at once.

    What fails for one session says nothing about another, except for `templates.problems`, which
    are every session's. A template that prints nothing but blanks and comments wants no object.
    """
    if templates.problems:
        return Unrendered(session, templates.problems)
    values = variables(session, surroundings)
    manifests: list[Manifest] = []
    problems: list[Problem] = []
    for name in templates.names:
        try:
            body = _object(print_template(templates, name, values), session)
        except SpecError as error:
            problems += error.problems
        else:
            if body is not None:
                manifests.append(manifest_of(body, session, surroundings.installation, name))
    problems += _repeated(manifests, record_manifest(session, surroundings.installation))
    if problems:
        return Unrendered(session, tuple(_naming(session, problem) for problem in problems))
    return wanted_of(session, surroundings.installation, manifests)


def _object(printed: Printed | Problem, session: Session) -> KubeObject | None:
    if isinstance(printed, Problem):
        raise SpecError((printed,))
    try:
        documents = load_documents(printed.text, printed.name)
    except SpecError as error:
        raise SpecError(tuple(_traced(printed, problem) for problem in error.problems)) from None
    documents = tuple(document for document in documents if document.value is not None)
    return _checked(printed, documents, session) if documents else None


def _checked(
    printed: Printed, documents: tuple[Document, ...], session: Session
) -> Mapping[str, Any]:
    first, *others = documents
    if others:
        line, column = others[0].positions.value(())
        message = "prints a second object: one template makes one"
        raise SpecError((_traced(printed, Problem(printed.name, line, column, "", message)),))
    body = first.value
    if not isinstance(body, Mapping):
        line, column = first.positions.value(())
        message = "prints no object: a mapping with apiVersion, kind and metadata is needed"
        raise SpecError((_traced(printed, Problem(printed.name, line, column, "", message)),))
    problems = tuple(
        _traced(printed, Problem(printed.name, *first.positions.value(path), dotted(path), message))
        for path, message in complaints(body, session.id)
    )
    if problems:
        raise SpecError(problems)
    return body


def _traced(printed: Printed, problem: Problem) -> Problem:
    """Move a problem from the line that was printed to the template's line that printed it."""
    message = f"{problem.message} (line {problem.line} of what it prints)"
    return replace(problem, line=printed.line(problem.line), column=1, message=message)


def _repeated(manifests: list[Manifest], record: Manifest) -> list[Problem]:
    """Find objects that two templates make, or that would take the Record's place."""
    seen: dict[ObjectRef, Manifest] = {record.ref: record}
    problems = []
    for manifest in manifests:
        first = seen.setdefault(manifest.ref, manifest)
        if first is not manifest:
            message = f"makes {manifest.ref}, which {first.source} makes already"
            problems.append(Problem(manifest.source, 0, 0, "metadata.name", message))
    return problems


def _naming(session: Session, problem: Problem) -> Problem:
    return replace(problem, message=f"{problem.message}; session {session.id}")
