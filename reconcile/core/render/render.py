"""Renders the templates for one session into its manifests, or into all problems.

A problem names the template's line that printed the line in question. Templates get the session,
the installation's id, names, capabilities, and the hosts that its policy allows, but not the
revision: every commit would then change every object.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import CodeType
from typing import Any, Final, TypeAlias

from jinja2 import Template, TemplateError, TemplateNotFound

from reconcile.core.errors import Problem, SpecError
from reconcile.core.manifest import build_desired_session, build_manifest, build_record_manifest
from reconcile.core.model import (
    INPUTS_SUFFIX,
    RECORD_PREFIX,
    AllowRules,
    DesiredSession,
    KubeObject,
    Manifest,
    ObjectRef,
    Policy,
    Session,
)
from reconcile.core.render.bounds import find_forbidden_fields
from reconcile.core.render.metering import MAX_OUTPUT
from reconcile.core.render.templates import Templates
from reconcile.core.render.validate import find_violations
from reconcile.core.source_location import format_document_path
from reconcile.core.yaml_loader import Document, load_documents


@dataclass(frozen=True, slots=True)
class RenderContext:
    """The values that are the same for all sessions of an installation.

    `capabilities` are those that the cluster is declared to have: `{"sidecar": "native"}`.
    `policy` has the rules that rendered objects must keep to.
    """

    policy: Policy
    capabilities: Mapping[str, Any] = field(default_factory=dict)

    @property
    def installation(self) -> str:
        """The installation's id."""
        return self.policy.installation


def build_template_variables(session: Session, context: RenderContext) -> dict[str, Any]:
    """Return the variables of a template, as plain values."""
    rules = context.policy.allow_rules(session.id.namespace)
    return {
        "session": {
            "name": session.id.name,
            "namespace": session.id.namespace,
            "state": session.state.value,
            "labels": session.labels,
            "annotations": session.annotations,
            "spec": session.spec,
        },
        "installation": context.installation,
        "names": _object_names(session.id.name),
        "capabilities": context.capabilities,
        "policy": {"repositoryHosts": list(rules.repository_hosts)},
    }


def find_possible_name_conflicts(name: str) -> frozenset[str]:
    """List the sessions of one namespace that may have an object of the same name as this one.

    Only the names that templates get in `names` are considered. For example, session `a-inputs` has
    the Record `session-a-inputs`, which is also the name of the inputs of `session-a`.
    """
    patterns = [
        pattern.split(_PLACEHOLDER) for pattern in set(_object_names(_PLACEHOLDER).values())
    ]
    objects = set(_object_names(name).values())
    return frozenset(
        each[len(before) : len(each) - len(after)]
        for each in objects
        for before, after in patterns
        if each.startswith(before) and each.endswith(after) and len(each) > len(before + after)
    )


_PLACEHOLDER: Final = "\0"


def _object_names(name: str) -> dict[str, str]:
    prefixed = f"{RECORD_PREFIX}{name}"
    return {
        "record": prefixed,
        "serviceAccount": prefixed,
        "service": prefixed,
        "networkPolicy": prefixed,
        "inputs": f"{name}{INPUTS_SUFFIX}",
        "storage": f"{name}-storage",
        "pod": f"{name}-runner",
    }


# Any other exception from a template is a defect of this program and is not caught.
_TEMPLATE_ERRORS: Final = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class TemplateOutput:
    """The output of a template: `chunks`, and for each the instruction in `code` that printed it.

    Instructions are offsets; their lines are looked up only when needed, since that costs more than
    the rendering.
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
        """The whole output."""
        return "".join(self.chunks)

    def source_line(self, output_line: int) -> int:
        """Return the template's line that printed a line of the output, both counted from 1."""
        begins, offset = 1, 0
        for chunk, offset in zip(self.chunks, self.offsets, strict=True):  # noqa: B007
            ends = begins + chunk.count("\n")
            if output_line < ends or (output_line == ends and not chunk.endswith("\n")):
                break
            begins = ends
        return self.source_line_at(offset) + output_line - begins

    def source_line_at(self, offset: int) -> int:
        """Return the template's line to which an instruction belongs."""
        lines = self.code.co_lines()
        line = next((line for start, end, line in lines if start <= offset < end), None)
        return self.template.get_corresponding_lineno(line or 1)


def render_template(
    templates: Templates, name: str, values: dict[str, Any]
) -> TemplateOutput | Problem:
    """Render the template `name` with the variables `values`."""
    template = templates.environment.with_new_budget(templates.loader).get_template(name)
    generator: Any = template.root_render_func(template.new_context(values))
    try:
        return _collect_output(template, generator)
    except _TEMPLATE_ERRORS as error:
        return _error_problem(name, error)


def _collect_output(template: Template, generator: Any) -> TemplateOutput | Problem:
    frame = generator.gi_frame
    output, remaining = TemplateOutput(template, frame.f_code, [], []), MAX_OUTPUT
    for chunk in generator:
        remaining -= len(chunk)
        output.chunks.append(chunk)
        output.offsets.append(frame.f_lasti)
        if remaining < 0:
            line = output.source_line_at(frame.f_lasti)
            message = f"prints more than {MAX_OUTPUT} characters for one session"
            return Problem(output.name, line, 1, "", message)
    return output


def _error_problem(name: str, error: Exception) -> Problem:
    path, line = _error_location(error) or (name, 0)
    rendering = "" if path == name else f" (while {name} is rendered)"
    return Problem(path, line, 1 if line else 0, "", _error_message(error) + rendering)


def _error_location(error: Exception) -> tuple[str, int] | None:
    place, traceback = None, error.__traceback__
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            place = template.name, template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return place


def _error_message(error: Exception) -> str:
    match error:
        case TemplateNotFound():
            return f"no template `{error.name}`"
        case TemplateError():
            return error.message or type(error).__name__
        case RecursionError():
            return "is nested too deeply: a template includes itself, or a value grows"
        case TypeError() | ArithmeticError():
            return f"{type(error).__name__}: {error}"
        case _:  # The messages of other errors quote values.
            return f"fails with {type(error).__name__}"


@dataclass(frozen=True, slots=True)
class RenderFailure:
    """A session that cannot be rendered: its live objects must not be changed."""

    session: Session
    problems: tuple[Problem, ...]


RenderResult: TypeAlias = DesiredSession | RenderFailure


def render_session(session: Session, templates: Templates, context: RenderContext) -> RenderResult:
    """Render every template for one session; problems of all of them are reported at once.

    A failure of one session does not affect others, but `templates.problems` make all sessions
    fail. A template that prints only white space and comments creates no object.
    """
    if templates.problems:
        return RenderFailure(session, templates.problems)
    values = build_template_variables(session, context)
    rules = context.policy.allow_rules(session.id.namespace)
    manifests: list[Manifest] = []
    problems: list[Problem] = []
    for name in templates.names:
        try:
            body = _parse_object(render_template(templates, name, values), session, rules)
        except SpecError as error:
            problems += error.problems
        else:
            if body is not None:
                manifests.append(build_manifest(body, session, context.installation, name))
    problems += _find_duplicates(manifests, build_record_manifest(session, context.installation))
    if problems:
        return RenderFailure(
            session, tuple(_add_session_name(session, problem) for problem in problems)
        )
    return build_desired_session(session, context.installation, manifests)


def _parse_object(
    output: TemplateOutput | Problem, session: Session, rules: AllowRules
) -> KubeObject | None:
    if isinstance(output, Problem):
        raise SpecError((output,))
    try:
        documents = load_documents(output.text, output.name)
    except SpecError as error:
        raise SpecError(
            tuple(_map_to_template(output, problem) for problem in error.problems)
        ) from None
    documents = tuple(document for document in documents if document.value is not None)
    return _check_object(output, documents, session, rules) if documents else None


def _check_object(
    output: TemplateOutput, documents: tuple[Document, ...], session: Session, rules: AllowRules
) -> Mapping[str, Any]:
    first, *others = documents
    if others:
        line, column = others[0].positions.value(())
        message = "prints a second object: a template must create only one"
        raise SpecError(
            (_map_to_template(output, Problem(output.name, line, column, "", message)),)
        )
    body = first.value
    if not isinstance(body, Mapping):
        line, column = first.positions.value(())
        message = (
            "does not print an object: it must be a mapping with apiVersion, kind and metadata"
        )
        raise SpecError(
            (_map_to_template(output, Problem(output.name, line, column, "", message)),)
        )
    forbidden = find_forbidden_fields(body, session, rules)
    problems = tuple(
        _map_to_template(
            output,
            Problem(output.name, *first.positions.value(path), format_document_path(path), message),
        )
        for path, message in (*find_violations(body, session.id), *forbidden)
    )
    if problems:
        raise SpecError(problems)
    return body


def _map_to_template(output: TemplateOutput, problem: Problem) -> Problem:
    """Move a problem from a line of the output to the template's line that printed it."""
    message = f"{problem.message} (line {problem.line} of what it prints)"
    return replace(problem, line=output.source_line(problem.line), column=1, message=message)


def _find_duplicates(manifests: list[Manifest], record: Manifest) -> list[Problem]:
    """Find objects that two templates create, or that have the name of the Record."""
    seen: dict[ObjectRef, Manifest] = {record.ref: record}
    problems = []
    for manifest in manifests:
        first = seen.setdefault(manifest.ref, manifest)
        if first is not manifest:
            message = f"creates {manifest.ref}, which {first.source} already creates"
            problems.append(Problem(manifest.source, 0, 0, "metadata.name", message))
    return problems


def _add_session_name(session: Session, problem: Problem) -> Problem:
    return replace(problem, message=f"{problem.message}; session {session.id}")
