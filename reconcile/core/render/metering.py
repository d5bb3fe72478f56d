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

MAX_CALLS: Final = 50
"""How deep macros may call each other."""

_SINGLE: Final = frozenset({bool, float, type(None)})
_ONE_PASS: Final = (Iterator, KeysView, ValuesView, ItemsView)
_CHARACTERS_PER_STEP: Final = 5  # as a shift: 32


class RefusedError(TemplateRuntimeError):
    """A template asks for something that it may not do; the message is for its author."""


class Budget:
    """The work left to one template while it is rendered for one session."""

    __slots__ = ("_depth", "_left")

    def __init__(self) -> None:
        self._left = MAX_WORK
        self._depth = 0

    def spend(self, work: int) -> None:
        """Pay for `work` steps; RefusedError when nothing is left."""
        self._left -= work
        if self._left < 0:
            self._refuse()

    def enter(self) -> None:
        """Begin a call; RefusedError where calls are nested too deeply."""
        self._depth += 1
        if self._depth > MAX_CALLS:
            raise RefusedError(f"calls are nested deeper than {MAX_CALLS}: a macro calls itself")

    def leave(self) -> None:
        """End a call."""
        self._depth -= 1

    def text(self, value: str) -> str:
        """Pay for a text and return it."""
        self._left -= 1 + (len(value) >> _CHARACTERS_PER_STEP)
        if self._left < 0:
            self._refuse()
        return value

    def weigh(self, value: Any) -> Any:
        """Pay for a value and all that is in it, and return it.

        What can be walked over only once becomes a list. RefusedError for integers beyond 64 bits.
        """
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is dict:
            self._walk_mapping(value)
        elif kind is list or kind is tuple:
            self._walk_items(value)
        elif kind in _SINGLE:
            self.spend(1)
        else:
            return self._weigh_others(value)
        return value

    def _refuse(self) -> NoReturn:
        raise RefusedError(
            f"takes more than {MAX_WORK} steps for one session: a loop, a macro that calls "
            "itself, or a value that grows"
        )

    def _weigh_others(self, value: Any) -> Any:
        if isinstance(value, _ONE_PASS):
            return [self.weigh(item) for item in value]
        if isinstance(value, Mapping):
            self._walk_mapping(value)
        elif isinstance(value, range):
            self.spend(1 + len(value))
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise RefusedError("a number grows beyond 64 bits")
        else:
            self.spend(1)
        return value

    def _walk_mapping(self, value: Mapping[Any, Any]) -> None:
        self.spend(1)
        for key, item in value.items():
            self.weigh(key)
            self.weigh(item)

    def _walk_items(self, value: Sequence[Any]) -> None:
        self.spend(1)
        for item in value:
            self.weigh(item)


def static_work(characters: int) -> int:
    """The steps that printing so many characters of fixed text costs."""
    return 1 + (characters >> _CHARACTERS_PER_STEP)


STEP: Final = "step!"
WEIGH: Final = "weigh!"
CONCAT: Final = "concat!"
MEMBERS: Final = "members!"

_Body = TypeVar("_Body", nodes.Template, nodes.Block, nodes.Macro, nodes.CallBlock, nodes.For)


class Metering(NodeTransformer):
    """The rewriting; `visit` a whole template."""

    def visit_Template(self, node: nodes.Template) -> nodes.Template:  # noqa: N802
        """A template can be included again and again."""
        return self._body(node)

    def visit_Block(self, node: nodes.Block) -> nodes.Block:  # noqa: N802
        """A block can be printed again through `self`."""
        return self._body(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:  # noqa: N802
        """A macro can be called again and again."""
        return self._body(node)

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        """Each turn of a loop is a step, and so is each item that its condition looks at."""
        self._body(node)
        if node.test is not None:
            paid = nodes.Test(_step(node, 1), "none", [], [], None, None)
            node.test = nodes.And(paid, node.test)
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.CallBlock:  # noqa: N802
        """The call itself must stay a call; what it prints was paid for while it was printed."""
        self._body(node)
        weighed: Any = node.call
        node.call = weighed.node
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Filter:  # noqa: N802
        """A filter walks over what it is given, and what it returns can be large."""
        self.generic_visit(node)
        if node.node is not None:
            node.node = _weighed(node.node)
        return _filter(node, WEIGH)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802
        """Comparing walks over both sides."""
        self.generic_visit(node)
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            is_lookup = operand.op in {"in", "notin"}
            operand.expr = _weighed(operand.expr, MEMBERS if is_lookup else WEIGH)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802
        """`~` becomes a filter of ours, which refuses what cannot be printed."""
        self.generic_visit(node)
        return _filter(_filter(nodes.List(node.nodes, lineno=node.lineno), CONCAT), WEIGH)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802
        """A slice is a copy."""
        self.generic_visit(node)
        return _filter(node, WEIGH) if isinstance(node.arg, nodes.Slice) else node

    def visit_ScopedEvalContextModifier(self, node: nodes.Node) -> NoReturn:  # noqa: N802
        """HTML has no place in YAML."""
        raise TemplateSyntaxError("`autoescape` is for HTML: remove it", node.lineno)

    def _result(self, node: nodes.Expr) -> nodes.Filter:
        self.generic_visit(node)
        return _filter(node, WEIGH)

    def _literal(self, node: Any) -> nodes.Expr:
        self.generic_visit(node)
        return node if getattr(node, "ctx", "load") != "load" else _filter(node, WEIGH)

    visit_Call = visit_Add = _result  # noqa: N815
    visit_List = visit_Tuple = visit_Dict = _literal  # noqa: N815

    def _body(self, node: _Body) -> _Body:
        fixed = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        step = nodes.ExprStmt(_step(node, static_work(fixed)), lineno=node.lineno)
        node.body.insert(0, step)
        return node


def _step(node: nodes.Node, work: int) -> nodes.Filter:
    return _filter(nodes.Const(work, lineno=node.lineno), STEP)


def _weighed(node: nodes.Expr, name: str = WEIGH) -> nodes.Expr:
    is_paid = isinstance(node, nodes.Filter) and node.name == WEIGH
    return node if is_paid or isinstance(node, nodes.Const) else _filter(node, name)


def _filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
