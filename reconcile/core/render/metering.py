"""What a template may spend: a count of work, since a limit on time would need a clock.

Every value that a template makes is weighed once, so that none can be larger than the budget, and
whatever walks over values (comparing, sorting, encoding) pays in advance.
"""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Final, NoReturn

from jinja2 import TemplateRuntimeError

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
