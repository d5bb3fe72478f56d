"""What a template may spend: a count of work, since a limit on time would need a clock.

Every value that a template makes is weighed once, so that none can be larger than the budget, and
whatever walks over values (comparing, sorting, encoding) pays in advance.

Rewrites a template's syntax tree so that running it pays for every step from the budget.

Bodies that can run more than once begin with a step, and the results of expressions that can make
something large are weighed. The names of the filters that do it are no identifiers, so that
no template can write them by accident.
"""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Final, NoReturn, TypeVar

from jinja2 import TemplateRuntimeError, TemplateSyntaxError, nodes
from jinja2.visitor import NodeTransformer

from reconcile.core.yaml_loader import MAX_BYTES

MAX_WORK: Final = 250_000
"""Steps one template may take for one session: turns, calls, values, 32 characters each."""

MAX_OUTPUT: Final = MAX_BYTES
"""Characters one template may print for one session: what can be read as YAML afterwards."""

MAX_CALL_DEPTH: Final = 50
"""How deep macros may call each other."""

_SCALAR_TYPES: Final = frozenset({bool, float, type(None)})
_ITERATOR_TYPES: Final = (Iterator, KeysView, ValuesView, ItemsView)
_CHARACTERS_PER_STEP: Final = 5  # as a shift: 32


class RenderError(TemplateRuntimeError):
    """A template asks for something that it may not do; the message is for its author."""


class WorkBudget:
    """The work left to one template while it is rendered for one session."""

    __slots__ = ("_depth", "_left")

    def __init__(self) -> None:
        self._left = MAX_WORK
        self._depth = 0

    def spend(self, work: int) -> None:
        """Pay for `work` steps; RefusedError when nothing is left."""
        self._left -= work
        if self._left < 0:
            self._raise_exhausted()

    def enter_call(self) -> None:
        """Begin a call; RefusedError where calls are nested too deeply."""
        self._depth += 1
        if self._depth > MAX_CALL_DEPTH:
            raise RenderError(
                f"calls are nested deeper than {MAX_CALL_DEPTH}: a macro calls itself"
            )

    def leave_call(self) -> None:
        """End a call."""
        self._depth -= 1

    def charge_text(self, value: str) -> str:
        """Pay for a text and return it."""
        self._left -= 1 + (len(value) >> _CHARACTERS_PER_STEP)
        if self._left < 0:
            self._raise_exhausted()
        return value

    def charge_value(self, value: Any) -> Any:
        """Pay for a value and all that is in it, and return it.

        What can be walked over only once becomes a list. RefusedError for integers beyond 64 bits.
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
    """The steps that printing so many characters of fixed text costs."""
    return 1 + (characters >> _CHARACTERS_PER_STEP)


CHARGE_STEP: Final = "step!"
CHARGE_VALUE: Final = "weigh!"
CONCAT: Final = "concat!"
CHARGE_CONTAINER: Final = "members!"

_Body = TypeVar("_Body", nodes.Template, nodes.Block, nodes.Macro, nodes.CallBlock, nodes.For)


class MeteringTransformer(NodeTransformer):
    """The rewriting; `visit` a whole template."""

    def visit_Template(self, node: nodes.Template) -> nodes.Template:  # noqa: N802
        """A template can be included again and again."""
        return self._charge_body(node)

    def visit_Block(self, node: nodes.Block) -> nodes.Block:  # noqa: N802
        """A block can be printed again through `self`."""
        return self._charge_body(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:  # noqa: N802
        """A macro can be called again and again."""
        return self._charge_body(node)

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        """Each turn of a loop is a step, and so is each item that its condition looks at."""
        self._charge_body(node)
        if node.test is not None:
            paid = nodes.Test(_step_filter(node, 1), "none", [], [], None, None)
            node.test = nodes.And(paid, node.test)
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.CallBlock:  # noqa: N802
        """The call itself must stay a call; what it prints was paid for while it was printed."""
        self._charge_body(node)
        weighed: Any = node.call
        node.call = weighed.node
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Filter:  # noqa: N802
        """A filter walks over what it is given, and what it returns can be large."""
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
        """`~` becomes a filter of ours, which refuses what cannot be printed."""
        self.generic_visit(node)
        return _apply_filter(
            _apply_filter(nodes.List(node.nodes, lineno=node.lineno), CONCAT), CHARGE_VALUE
        )

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802
        """A slice is a copy."""
        self.generic_visit(node)
        return _apply_filter(node, CHARGE_VALUE) if isinstance(node.arg, nodes.Slice) else node

    def visit_ScopedEvalContextModifier(self, node: nodes.Node) -> NoReturn:  # noqa: N802
        """HTML has no place in YAML."""
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
    is_paid = isinstance(node, nodes.Filter) and node.name == CHARGE_VALUE
    return node if is_paid or isinstance(node, nodes.Const) else _apply_filter(node, name)


def _apply_filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
