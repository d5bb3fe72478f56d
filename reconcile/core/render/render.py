"""Runs one template for one session, and knows from which of its lines each printed line came.

What a template is told: one session, the installation's id, names, capabilities.

The revision is not among it, since each commit would then change each object.

One session and the templates to what is wanted of it, or to every reason why not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import CodeType
from typing import Any, Final, TypeAlias

from jinja2 import Template, TemplateError, TemplateNotFound

from reconcile.core.errors import Problem, SpecError
from reconcile.core.manifest import manifest_of, record_manifest, wanted_of
from reconcile.core.model import RECORD_PREFIX, KubeObject, Manifest, ObjectRef, Session, Wanted
from reconcile.core.render.metering import MAX_OUTPUT
from reconcile.core.render.templates import Templates
from reconcile.core.render.validate import complaints
from reconcile.core.source_location import dotted
from reconcile.core.yaml_loader import Document, load_documents


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is the same for all sessions of an installation.

    `capabilities` are what the cluster is declared to have: `{"sidecar": "native"}`.
    """

    installation: str
    capabilities: Mapping[str, Any] = field(default_factory=dict)


def variables(session: Session, surroundings: Surroundings) -> dict[str, Any]:
    """Return the variables of a template, as plain values."""
    return {
        "session": {
            "name": session.id.name,
            "namespace": session.id.namespace,
            "state": session.state.value,
            "labels": session.labels,
            "annotations": session.annotations,
            "spec": session.spec,
        },
        "installation": surroundings.installation,
        "names": _names(session.id.name),
        "capabilities": surroundings.capabilities,
    }


def namesakes(name: str) -> frozenset[str]:
    """List the sessions of one namespace that may have an object of the same name as this one.

    It goes by the names that templates are told, so it holds for templates that use no other.
    Session `a-inputs` has the Record `session-a-inputs`, which are the inputs of `session-a`.
    """
    patterns = [pattern.split(_HERE) for pattern in set(_names(_HERE).values())]
    objects = set(_names(name).values())
    return frozenset(
        each[len(before) : len(each) - len(after)]
        for each in objects
        for before, after in patterns
        if each.startswith(before) and each.endswith(after) and len(each) > len(before + after)
    )


_HERE: Final = "\0"


def _names(name: str) -> dict[str, str]:
    prefixed = f"{RECORD_PREFIX}{name}"
    return {
        "record": prefixed,
        "serviceAccount": prefixed,
        "service": prefixed,
        "networkPolicy": prefixed,
        "inputs": f"{name}-inputs",
        "storage": f"{name}-storage",
        "pod": f"{name}-runner",
    }


# Whatever else comes out of a template would be a defect of ours, and shall be seen as one.
_OF_TEMPLATES: Final = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class Printed:
    """What a template printed: `chunks`, and for each the place in `code` that printed it.

    Places are offsets of instructions, since looking up each one's line would cost more than the
    printing.
    """

    template: Template
    code: CodeType
    chunks: list[str]
    offsets: list[int]

    @property
    def name(self) -> str:
        """The template's file name."""
        return self.template.name or ""

    @property
    def text(self) -> str:
        """All that was printed."""
        return "".join(self.chunks)

    def line(self, printed: int) -> int:
        """Return the template's line that printed a line of the text, both counted from 1."""
        begins, offset = 1, 0
        for chunk, offset in zip(self.chunks, self.offsets, strict=True):  # noqa: B007
            ends = begins + chunk.count("\n")
            if printed < ends or (printed == ends and not chunk.endswith("\n")):
                break
            begins = ends
        return self.line_at(offset) + printed - begins

    def line_at(self, offset: int) -> int:
        """Return the template's line to which an instruction belongs."""
        lines = self.code.co_lines()
        line = next((line for start, end, line in lines if start <= offset < end), None)
        return self.template.get_corresponding_lineno(line or 1)


def print_template(templates: Templates, name: str, values: dict[str, Any]) -> Printed | Problem:
    """Render the template `name` with the variables `values`."""
    template = templates.environment.fresh(templates.loader).get_template(name)
    generator: Any = template.root_render_func(template.new_context(values))
    try:
        return _collect(template, generator)
    except _OF_TEMPLATES as error:
        return _problem(name, error)


def _collect(template: Template, generator: Any) -> Printed | Problem:
    frame = generator.gi_frame
    printed, left = Printed(template, frame.f_code, [], []), MAX_OUTPUT
    for chunk in generator:
        left -= len(chunk)
        printed.chunks.append(chunk)
        printed.offsets.append(frame.f_lasti)
        if left < 0:
            line = printed.line_at(frame.f_lasti)
            message = f"prints more than {MAX_OUTPUT} characters for one session"
            return Problem(printed.name, line, 1, "", message)
    return printed


def _problem(name: str, error: Exception) -> Problem:
    path, line = _place(error) or (name, 0)
    rendering = "" if path == name else f" (while {name} is rendered)"
    return Problem(path, line, 1 if line else 0, "", _words(error) + rendering)


def _place(error: Exception) -> tuple[str, int] | None:
    place, traceback = None, error.__traceback__
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            place = template.name, template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return place


def _words(error: Exception) -> str:
    match error:
        case TemplateNotFound():
            return f"no template `{error.name}`"
        case TemplateError():
            return error.message or type(error).__name__
        case RecursionError():
            return "is nested too deeply: a template includes itself, or a value grows"
        case TypeError() | ArithmeticError():
            return f"{type(error).__name__}: {error}"
        case _:  # The messages of the others quote values.
            return f"fails with {type(error).__name__}"


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
