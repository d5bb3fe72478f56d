"""The work budget of a template, and the rewriting of templates that charges every step to it.

The budget counts work, since a time limit would need a clock. Every value that a template creates
is charged once, so that none can be larger than the budget, and operations that walk over values
(comparing, sorting, encoding) are charged in advance.

The syntax tree of a template is rewritten: bodies that can run more than once begin with a step,
and the results of expressions that can be large are charged. The names of the filters that do this
are not identifiers, so a template cannot use them.
"""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Final, NoReturn, TypeVar

from jinja2 import TemplateRuntimeError, TemplateSyntaxError, nodes
from jinja2.visitor import NodeTransformer

from reconcile.core.yaml_loader import MAX_BYTES

MAX_WORK: Final = 250_000
"""Steps of one template for one session: iterations, calls, values, and every 32 characters."""

MAX_OUTPUT: Final = MAX_BYTES
"""Characters one template may print for one session: as many as can be loaded as YAML."""

MAX_CALL_DEPTH: Final = 50
"""The maximum depth of nested macro calls."""

_SCALAR_TYPES: Final = frozenset({bool, float, type(None)})
_ITERATOR_TYPES: Final = (Iterator, KeysView, ValuesView, ItemsView)
_CHARACTERS_PER_STEP: Final = 5  # as a shift: 32


class RenderError(TemplateRuntimeError):
    """A template does something that is not allowed; the message is for its author."""


class WorkBudget:
    """The remaining work of one template while it is rendered for one session."""

    __slots__ = ("_depth", "_left")

    def __init__(self) -> None:
        self._left = MAX_WORK
        self._depth = 0

    def spend(self, work: int) -> None:
        """Charge `work` steps; RenderError when the budget is exhausted."""
        self._left -= work
        if self._left < 0:
            self._raise_exhausted()

    def enter_call(self) -> None:
        """Begin a call; RenderError if calls are nested too deeply."""
        self._depth += 1
        if self._depth > MAX_CALL_DEPTH:
            raise RenderError(
                f"calls are nested deeper than {MAX_CALL_DEPTH}: a macro calls itself"
            )

    def leave_call(self) -> None:
        """End a call."""
        self._depth -= 1

    def charge_text(self, value: str) -> str:
        """Charge a text and return it."""
        self._left -= 1 + (len(value) >> _CHARACTERS_PER_STEP)
        if self._left < 0:
            self._raise_exhausted()
        return value

    def charge_value(self, value: Any) -> Any:
        """Charge a value with its content and return it.

        An iterator becomes a list. RenderError for integers of more than 64 bits.
        """
        kind = type(value)
        if kind is str:
            return self.charge_text(value)
        if kind is dict:
            self._charge_mapping(value)
        elif kind is list or kind is tuple:
            self._charge_items(value)
        elif kind in _SCALAR_TYPES:
            self.spend(1)
        else:
            return self._charge_other(value)
        return value

    def _raise_exhausted(self) -> NoReturn:
        raise RenderError(
            f"takes more than {MAX_WORK} steps for one session: a loop, a macro that calls "
            "itself, or a value that grows"
        )

    def _charge_other(self, value: Any) -> Any:
        if isinstance(value, _ITERATOR_TYPES):
            return [self.charge_value(item) for item in value]
        if isinstance(value, Mapping):
            self._charge_mapping(value)
        elif isinstance(value, range):
            self.spend(1 + len(value))
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise RenderError("a number grows beyond 64 bits")
        else:
            self.spend(1)
        return value

    def _charge_mapping(self, value: Mapping[Any, Any]) -> None:
        self.spend(1)
        for key, item in value.items():
            self.charge_value(key)
            self.charge_value(item)

    def _charge_items(self, value: Sequence[Any]) -> None:
        self.spend(1)
        for item in value:
            self.charge_value(item)


def fixed_text_work(characters: int) -> int:
    """Return the steps that are charged for this number of characters of fixed text."""
    return 1 + (characters >> _CHARACTERS_PER_STEP)


CHARGE_STEP: Final = "step!"
CHARGE_VALUE: Final = "weigh!"
CONCAT: Final = "concat!"
CHARGE_CONTAINER: Final = "members!"

_Body = TypeVar("_Body", nodes.Template, nodes.Block, nodes.Macro, nodes.CallBlock, nodes.For)


class MeteringTransformer(NodeTransformer):
    """Rewrites a template; call `visit` with the whole syntax tree."""

    def visit_Template(self, node: nodes.Template) -> nodes.Template:  # noqa: N802
        """A template can be included repeatedly."""
        return self._charge_body(node)

    def visit_Block(self, node: nodes.Block) -> nodes.Block:  # noqa: N802
        """A block can be printed repeatedly through `self`."""
        return self._charge_body(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:  # noqa: N802
        """A macro can be called repeatedly."""
        return self._charge_body(node)

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        """Each iteration of a loop is a step, and so is each item that its condition checks."""
        self._charge_body(node)
        if node.test is not None:
            step = nodes.Test(_step_filter(node, 1), "none", [], [], None, None)
            node.test = nodes.And(step, node.test)
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.CallBlock:  # noqa: N802
        """The call must remain a call; its output was charged while it was printed."""
        self._charge_body(node)
        charged: Any = node.call
        node.call = charged.node
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Filter:  # noqa: N802
        """A filter walks over its input, and its result can be large."""
        self.generic_visit(node)
        if node.node is not None:
            node.node = _charged(node.node)
        return _apply_filter(node, CHARGE_VALUE)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802
        """Comparing walks over both sides."""
        self.generic_visit(node)
        node.expr = _charged(node.expr)
        for operand in node.ops:
            is_lookup = operand.op in {"in", "notin"}
            operand.expr = _charged(operand.expr, CHARGE_CONTAINER if is_lookup else CHARGE_VALUE)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802
        """`~` becomes the filter `CONCAT`, which refuses what cannot be printed."""
        self.generic_visit(node)
        return _apply_filter(
            _apply_filter(nodes.List(node.nodes, lineno=node.lineno), CONCAT), CHARGE_VALUE
        )

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802
        """A slice is a copy."""
        self.generic_visit(node)
        return _apply_filter(node, CHARGE_VALUE) if isinstance(node.arg, nodes.Slice) else node

    def visit_ScopedEvalContextModifier(self, node: nodes.Node) -> NoReturn:  # noqa: N802
        """Escaping for HTML is refused."""
        raise TemplateSyntaxError("`autoescape` is for HTML: remove it", node.lineno)

    def _charge_result(self, node: nodes.Expr) -> nodes.Filter:
        self.generic_visit(node)
        return _apply_filter(node, CHARGE_VALUE)

    def _charge_literal(self, node: Any) -> nodes.Expr:
        self.generic_visit(node)
        return node if getattr(node, "ctx", "load") != "load" else _apply_filter(node, CHARGE_VALUE)

    visit_Call = visit_Add = _charge_result  # noqa: N815
    visit_List = visit_Tuple = visit_Dict = _charge_literal  # noqa: N815

    def _charge_body(self, node: _Body) -> _Body:
        fixed = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        step = nodes.ExprStmt(_step_filter(node, fixed_text_work(fixed)), lineno=node.lineno)
        node.body.insert(0, step)
        return node


def _step_filter(node: nodes.Node, work: int) -> nodes.Filter:
    return _apply_filter(nodes.Const(work, lineno=node.lineno), CHARGE_STEP)


def _charged(node: nodes.Expr, name: str = CHARGE_VALUE) -> nodes.Expr:
    is_charged = isinstance(node, nodes.Filter) and node.name == CHARGE_VALUE
    return node if is_charged or isinstance(node, nodes.Const) else _apply_filter(node, name)


def _apply_filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
