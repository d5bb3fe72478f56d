"""Compiles template files once and finds their problems before any session is rendered."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final

from jinja2 import Environment, Template, TemplateNotFound, TemplateSyntaxError, nodes
from jinja2.loaders import BaseLoader

from reconcile.core.canonical_json import compute_digest
from reconcile.core.errors import Problem
from reconcile.core.model import Kind
from reconcile.core.render.filters import ALLOWED_FILTERS, ALLOWED_TESTS
from reconcile.core.render.metering import MeteringTransformer
from reconcile.core.render.sandbox import Sandbox
from reconcile.core.spec.field_types import suggest_name

SUFFIXES: Final = (".yaml.j2", ".yml.j2", ".json.j2")
"""The suffixes, in any case, of files that are rendered, once for every session."""

PARTIAL_PREFIX: Final = "_"
"""The prefix of files that are not rendered, but included or imported by others."""

MAX_CHARACTERS: Final = 1 << 18
"""The maximum size of a template file."""

_API_VERSION: Final = re.compile(r"^apiVersion:[ ]+[\"']?([\w./-]+)[\"']?[ ]*$", re.MULTILINE)
_KIND: Final = re.compile(r"^kind:[ ]+[\"']?(\w+)[\"']?[ ]*$", re.MULTILINE)
_REFERENCES: Final = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class CompiledLoader(BaseLoader):
    """Loads templates that are already compiled, from memory."""

    has_source_access = False

    def __init__(self, codes: Mapping[str, CodeType]) -> None:
        self._codes = codes

    def load(
        self,
        environment: Environment,
        name: str,
        globals: Any = None,  # noqa: A002 - Jinja's name
    ) -> Template:
        try:
            code = self._codes[name]
        except KeyError:
            raise TemplateNotFound(name) from None
        return environment.template_class.from_code(environment, code, globals)


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """A set of templates, ready to render.

    `names` are the files that render an object. `problems` are those of the files themselves; if
    there are any, no session can be rendered. `kinds` are those that the files name literally.
    `digest` covers all files.
    """

    names: tuple[str, ...]
    problems: tuple[Problem, ...]
    kinds: frozenset[Kind]
    digest: str
    loader: CompiledLoader
    environment: Sandbox


def compile_templates(files: Mapping[str, str]) -> Templates:
    """Compile template files, given as text by file name; raises nothing for invalid content."""
    environment = Sandbox()
    codes: dict[str, CodeType] = {}
    problems = [
        Problem(name, 0, 0, "", _UNUSED) for name in sorted(files) if _is_unused(name, files)
    ]
    problems += [
        Problem(name, 0, 0, "", _BLANK)
        for name, text in sorted(files.items())
        if _is_rendered(name) and not text.strip()
    ]
    for name, text in sorted(files.items()):
        try:
            codes[name] = _compile(environment, name, text, files)
        except _CompileError as error:
            problems += error.problems
    return Templates(
        names=tuple(name for name in sorted(files) if _is_rendered(name)),
        problems=tuple(problems),
        kinds=frozenset(kind for text in files.values() for kind in _find_kinds(text)),
        digest=compute_digest(files),
        loader=CompiledLoader(codes),
        environment=environment,
    )


class _CompileError(Exception):
    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


def _is_rendered(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(PARTIAL_PREFIX)


_UNUSED: Final = (
    "is neither rendered nor named by another template: end its name in .yaml.j2, or begin it with "
    f"`{PARTIAL_PREFIX}` if it declares no object, or remove it"
)
_BLANK: Final = "is empty, and would delete what it declared: write a comment into it, or remove it"


def _is_unused(name: str, files: Mapping[str, str]) -> bool:
    """Whether the file would be passed over, and what it rendered under another name deleted."""
    if _is_rendered(name):
        return False
    if name.startswith(PARTIAL_PREFIX) and not any(_find_kinds(files[name])):
        return False
    return not any(name in text for other, text in files.items() if other != name)


def _compile(environment: Sandbox, name: str, text: str, files: Mapping[str, str]) -> CodeType:
    if len(text) > MAX_CHARACTERS:
        message = f"is too large: {len(text)} characters, but at most {MAX_CHARACTERS} are allowed"
        raise _CompileError(Problem(name, 0, 0, "", message))
    try:
        tree = environment.parse(text, name, name)
        unknown = tuple(_find_unknown_names(tree, name, files))
        if unknown:
            raise _CompileError(*unknown)
        tree = MeteringTransformer().visit(tree)
        tree.set_environment(environment)
        return environment.compile(tree, name, name)
    except TemplateSyntaxError as error:
        raise _CompileError(Problem(name, error.lineno, 1, "", str(error.message))) from None
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        message = f"cannot be compiled: {type(error).__name__}: is it nested very deeply?"
        raise _CompileError(Problem(name, 0, 0, "", message)) from None


def _find_unknown_names(
    tree: nodes.Template, name: str, files: Mapping[str, str]
) -> Iterator[Problem]:
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        is_filter = isinstance(node, nodes.Filter)
        known = ALLOWED_FILTERS if is_filter else ALLOWED_TESTS
        if node.name not in known:
            message = f"no {'filter' if is_filter else 'test'} `{node.name}`"
            yield Problem(name, node.lineno, 1, "", message + suggest_name(node.name, known))
    for reference in tree.find_all(_REFERENCES):
        target = getattr(getattr(reference, "template", None), "value", None)
        optional = getattr(reference, "ignore_missing", False)
        if isinstance(target, str) and target not in files and not optional:
            message = f"no template `{target}`{suggest_name(target, files)}"
            yield Problem(name, reference.lineno, 1, "", message)


def _find_kinds(text: str) -> Iterator[Kind]:
    versions, kinds = _API_VERSION.findall(text), _KIND.findall(text)
    if len(versions) == len(kinds) == 1:
        yield Kind(versions[0], kinds[0])
