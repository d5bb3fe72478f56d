"""JSON Schema (draft 2020-12) of every kind, built from the field tables."""

from collections.abc import Mapping
from typing import Any, Final, assert_never

from reconcile.core.spec.field_types import (
    PLATFORM_ONLY,
    AnyType,
    Field,
    FieldType,
    ListType,
    MapType,
    ObjectType,
    Scalar,
)
from reconcile.core.spec.kinds import KINDS, SESSION_KIND

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def build_kind_schema(kind: str) -> dict[str, Any]:
    """The schema of one kind's documents; KeyError for an unknown kind."""
    return {"$schema": DIALECT, "title": kind, **_kind_schema(kind)}


def build_combined_schema() -> dict[str, Any]:
    """One schema for documents of any kind, and for lists of them as exported by kubectl."""
    kinds = [{"$ref": f"#/$defs/{kind}"} for kind in KINDS]
    return {
        "$schema": DIALECT,
        "title": "Desired state of agent sessions",
        "oneOf": [*kinds, {"$ref": "#/$defs/List"}],
        "$defs": {
            **{kind: _kind_schema(kind) for kind in KINDS},
            "List": _list_schema(kinds),
        },
    }


def _list_schema(kinds: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "apiVersion": {"const": "v1"},
            "kind": {"const": "List"},
            "metadata": {"type": ["object", "null"]},
            "items": {"type": "array", "items": {"oneOf": kinds}},
        },
        "required": ["apiVersion", "kind", "items"],
        "additionalProperties": False,
    }


def _kind_schema(kind: str) -> dict[str, Any]:
    schema = _type_schema(KINDS[kind])
    if kind == SESSION_KIND:
        repos = schema["properties"]["spec"]["properties"]["repos"]
        repos["items"] = _with_old_form(repos["items"])
    return schema


def _with_old_form(repo: Mapping[str, Any]) -> dict[str, Any]:
    """Accept `repos[].input` too, which sessions have that earlier platforms exported.

    It has the fields of a repository; the others may stand next to it, but none in both places.
    """
    others = {name: each for name, each in repo["properties"].items() if name != "url"}
    twice = [{"required": [name], "properties": {"input": {"required": [name]}}} for name in others]
    output = {"description": f"Where the platform pushes ({PLATFORM_ONLY})"}
    old = {
        "type": "object",
        "properties": {"input": repo, "output": output, **others},
        "additionalProperties": False,
        "not": {"anyOf": twice},
    }
    return {"if": {"type": "object", "required": ["input"]}, "then": old, "else": repo}


def _type_schema(kind: FieldType) -> dict[str, Any]:
    match kind:
        case Scalar():
            return dict(kind.schema)
        case ListType():
            return {"type": "array", "items": _type_schema(kind.item)}
        case MapType():
            return {
                "type": "object",
                "propertyNames": _type_schema(kind.key),
                "additionalProperties": _make_nullable(_type_schema(kind.value)),
            }
        case AnyType():
            return {}
        case ObjectType():
            return _object_schema(kind)
        case _:
            assert_never(kind)


def _object_schema(kind: ObjectType) -> dict[str, Any]:
    required = [field.name for field in kind.fields if field.required]
    return {
        "type": "object",
        "properties": {field.name: _property_schema(field) for field in kind.fields},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _property_schema(field: Field) -> dict[str, Any]:
    schema = _type_schema(field.type)
    note = f" ({field.warning})" if field.warning else ""
    default = {} if field.default is None else {"default": field.default}
    described = {"description": f"{field.description}{note}", **default}
    return {**described, **(schema if field.required else _make_nullable(schema))}


def _make_nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Allow null, which means "not set"."""
    wider = dict(schema)
    if "type" in schema:
        one = schema["type"]
        wider["type"] = [*([one] if isinstance(one, str) else one), "null"]
    if "enum" in schema:
        wider["enum"] = [*schema["enum"], None]
    return wider
