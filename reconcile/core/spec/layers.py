"""Lays settings over each other; what nothing sets is filled in, so that templates find every name.

Results share what they have in common: nobody may change them.
"""

from collections.abc import Mapping
from typing import Any, assert_never

from reconcile.core.spec.field_types import Anything, Entries, Fields, Items, Scalar, Type


def built_in(kind: Fields) -> Mapping[str, Any]:
    """Every known field with its default: None, an empty list or an empty mapping without one."""
    return {field.name: _unset(field.type, field.default) for field in kind.fields}


def overlay(kind: Fields, base: Mapping[str, Any], layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Lay one layer over a complete base: mappings merge at every depth, lists replace."""
    known = kind.by_name
    laid = {
        name: _lay(known[name].type, base[name], value)
        for name, value in layer.items()
        if name in known
    }
    return {**base, **laid}


def _lay(kind: Type, base: Any, value: Any) -> Any:
    match kind:
        case Scalar() | Anything():
            return value
        case Entries():
            return {**base, **value}
        case Items():
            return [_complete(kind.item, item) for item in value]
        case Fields():
            return overlay(kind, base, value)
        case _:
            assert_never(kind)


def _complete(kind: Type, value: Any) -> Any:
    if isinstance(kind, Fields) and not kind.as_written:
        return overlay(kind, built_in(kind), value)
    return value


def _unset(kind: Type, default: Any) -> Any:
    match kind:
        case Scalar() | Anything():
            return default
        case Entries():
            return dict(default or {})
        case Items():
            return list(default or [])
        case Fields():
            return built_in(kind)
        case _:
            assert_never(kind)
