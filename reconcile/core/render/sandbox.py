"""The Jinja environment: what templates can access, and what each operation costs."""

import operator as operators
from collections.abc import Callable, Mapping
from typing import Any, Final, Never

from jinja2 import StrictUndefined, Undefined, pass_context
from jinja2.environment import TemplateModule
from jinja2.loaders import BaseLoader
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace, missing

from reconcile.core.render.filters import (
    ALLOWED_FILTERS,
    ALLOWED_TESTS,
    METERING_FILTERS,
    render_value,
    split_words,
)
from reconcile.core.render.metering import RenderError, WorkBudget
from reconcile.core.spec.field_types import suggest_name

VARIABLES: Final = ("session", "installation", "names", "capabilities", "policy")
"""The variables of every template."""

_ALLOWED_METHODS: Final[tuple[tuple[type, frozenset[str]], ...]] = (
    (
        str,
        split_words(
            "capitalize count endswith find isalnum isalpha isdigit islower isupper lower lstrip "
            "removeprefix removesuffix rsplit rstrip split splitlines startswith strip title upper"
        ),
    ),
    (Mapping, split_words("get items keys values")),
    (
        LoopContext,
        split_words(
            "cycle depth depth0 first index index0 last length nextitem previtem revindex revindex0"
        ),
    ),
    (list, split_words("count index")),
    (tuple, split_words("count index")),
)
_TEMPLATE_TYPES: Final = (Namespace, Macro, TemplateModule)
_SEARCHABLE_TYPES: Final = (str, list, tuple)
_ARITHMETIC: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "-": operators.sub,
    "*": operators.mul,
    "/": operators.truediv,
    "//": operators.floordiv,
    "%": operators.mod,
    "**": operators.pow,
}
_MAX_EXPONENT: Final = 64


class DescriptiveUndefined(StrictUndefined):
    """An undefined value; any use of it raises an error that suggests a defined name."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        name, owner = self._undefined_name, self._undefined_obj
        if self._undefined_hint or not isinstance(name, str):
            return super()._undefined_message
        if owner is missing:
            return f"`{name}` is not defined{suggest_name(name, VARIABLES)}"
        if isinstance(owner, Mapping):
            return f"there is no `{name}` here{suggest_name(name, filter(_is_text, owner))}"
        return (
            f"a {type(owner).__name__} has no `{name}`{suggest_name(name, _allowed_methods(owner))}"
        )


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for one template and one session: its budget is spent, not shared."""

    intercepted_binops = frozenset((*_ARITHMETIC, "+"))

    def __init__(self) -> None:
        super().__init__(
            undefined=DescriptiveUndefined,
            finalize=_finalize,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,
            # Constants are computed while rendering, so that they are charged to the budget.
            optimized=False,
            auto_reload=False,
        )
        self.filters = {**ALLOWED_FILTERS, **METERING_FILTERS}
        self.tests = dict(ALLOWED_TESTS)
        self.globals = {"range": safe_range, "dict": dict, "namespace": Namespace, "fail": _fail}
        self.budget = WorkBudget()

    def with_new_budget(self, loader: BaseLoader) -> "Sandbox":
        """Return the same environment with a new budget and without any state."""
        sandbox = self.overlay(loader=loader)
        sandbox.budget = WorkBudget()
        return sandbox

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, _TEMPLATE_TYPES):
            return super().is_safe_attribute(obj, attr, value)
        return attr in _allowed_methods(obj)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        known = ", ".join(sorted(_allowed_methods(obj)))
        hint = f"`{attribute}` of a {type(obj).__name__} is not allowed"
        return self.undefined(f"{hint}; allowed are: {known}" if known else hint, exc=RenderError)

    def wrap_str_format(self, value: Any) -> None:
        """`format` is not allowed at all, so there is nothing to wrap."""

    def call_binop(self, _context: Context, operator: str, left: Any, right: Any) -> Any:
        self.budget.spend(1)
        for value in (left, right):
            if isinstance(value, Undefined):
                str(value)  # raises with its name
        if operator == "+":
            return left + right
        if not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
            raise RenderError(f"`{operator}` is for numbers only: join texts with `~`")
        if operator == "**" and abs(right) > _MAX_EXPONENT:
            raise RenderError(f"an exponent beyond {_MAX_EXPONENT}")
        return self.budget.charge_value(_ARITHMETIC[operator](left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - keyword arguments may have any name
        budget = __self.budget
        budget.spend(1)
        budget.enter_call()
        if isinstance(owner := getattr(__obj, "__self__", None), _SEARCHABLE_TYPES):
            budget.charge_value(owner)
        try:
            return super().call(__context, __obj, *args, **kwargs)
        finally:
            budget.leave_call()


def _allowed_methods(obj: Any) -> frozenset[str]:
    return next((names for kind, names in _ALLOWED_METHODS if isinstance(obj, kind)), frozenset())


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _fail(message: Any) -> Never:
    raise RenderError(render_value(message))


@pass_context
def _finalize(context: Context, value: Any) -> str:
    environment: Any = context.environment
    text: str = environment.budget.charge_text(render_value(value))
    return text
