"""Merges layers of settings and fills in defaults, so that templates find every name.

Results share values with their inputs and must not be changed.
"""

from collections.abc import Mapping
from typing import Any, assert_never

from reconcile.core.spec.field_types import (
    AnyType,
    FieldType,
    ListType,
    MapType,
    ObjectType,
    Scalar,
)


def default_values(kind: ObjectType) -> Mapping[str, Any]:
    """Every known field with its default: None, an empty list or an empty mapping without one."""
    return {field.name: _default_value(field.type, field.default) for field in kind.fields}


def merge_layer(
    kind: ObjectType, base: Mapping[str, Any], layer: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Merge a layer into a complete base: mappings merge at every depth, lists replace.

    A null in a mapping whose names the author chooses takes back the entry of the base.
    """
    known = kind.by_name
    merged = {
        name: _merge_value(known[name].type, base[name], value)
        for name, value in layer.items()
        if name in known
    }
    return {**base, **merged}


def _merge_value(kind: FieldType, base: Any, value: Any) -> Any:
    match kind:
        case Scalar() | AnyType():
            return value
        case MapType():
            return {name: item for name, item in {**base, **value}.items() if item is not None}
        case ListType():
            return [_fill_defaults(kind.item, item) for item in value]
        case ObjectType():
            return merge_layer(kind, base, value)
        case _:
            assert_never(kind)


def _fill_defaults(kind: FieldType, value: Any) -> Any:
    if isinstance(kind, ObjectType) and not kind.is_passthrough:
        return merge_layer(kind, default_values(kind), value)
    return value


def _default_value(kind: FieldType, default: Any) -> Any:
    match kind:
        case Scalar() | AnyType():
            return default
        case MapType():
            return dict(default or {})
        case ListType():
            return list(default or [])
        case ObjectType():
            return default_values(kind)
        case _:
            assert_never(kind)
