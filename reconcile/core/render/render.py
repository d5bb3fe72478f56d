"""Runs one template for one session, and knows from which of its lines each printed line came."""

from dataclasses import dataclass
from types import CodeType
from typing import Any, Final

from jinja2 import Template, TemplateError, TemplateNotFound

from reconcile.core.errors import Problem
from reconcile.core.render.metering import MAX_OUTPUT
from reconcile.core.render.templates import Templates

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
