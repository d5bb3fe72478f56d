"""The one door to DeepDiff: what differs inside two nested values that are known to differ.

It is loaded when first needed, since loading takes longer than a whole pass without changes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconcile.core.changes import ABSENT


@dataclass(frozen=True, slots=True)
class Difference:
    """One place that differs, `ABSENT` where it is not there; `path` is relative, for people."""

    path: str
    before: Any
    after: Any


def differences(before: Any, after: Any) -> tuple[Difference, ...]:
    """List what differs; entries of a list that have a `name` are compared by it."""
    from deepdiff import DeepDiff  # noqa: PLC0415 - see the module

    found = DeepDiff(_keyed(before), _keyed(after), view="tree", threshold_to_diff_deeper=0)
    listed = (_difference(level) for levels in found.values() for level in levels)
    return tuple(sorted(listed, key=lambda difference: difference.path))


def _difference(level: Any) -> Difference:
    from deepdiff.helper import NotPresent, notpresent  # noqa: PLC0415 - see the module

    sides = (
        ABSENT if side is notpresent or isinstance(side, NotPresent) else side
        for side in (level.t1, level.t2)
    )
    return Difference(_worded(level.path(output_format="list")), *map(_unkeyed, sides))


def _keyed(value: Any) -> Any:
    """Turn lists of named entries into maps, so that an entry keeps its identity when it moves."""
    if isinstance(value, Mapping):
        return {key: _keyed(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        names = [item.get("name") for item in value if isinstance(item, Mapping)]
        items = [_keyed(item) for item in value]
        unique = len({name for name in names if isinstance(name, str)}) == len(items) > 0
        return dict(zip(map(_Name, names), items, strict=True)) if unique else items
    return value


def _unkeyed(value: Any) -> Any:
    if isinstance(value, dict):
        items = {key: _unkeyed(item) for key, item in value.items()}
        named = any(isinstance(key, _Name) for key in items)
        return list(items.values()) if named else items
    return [_unkeyed(item) for item in value] if isinstance(value, list) else value


class _Name(str):
    """The name of a list's entry, so that a path shows it in brackets."""

    __slots__ = ()


def _worded(path: Sequence[Any]) -> str:
    return "".join(_segments(path)).removeprefix(".")


def _segments(path: Sequence[Any]) -> Iterator[str]:
    for part in path:
        plain = isinstance(part, str) and not isinstance(part, _Name) and part.isidentifier()
        yield f".{part}" if plain else f"[{part}]"
