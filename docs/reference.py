"""Writes what is generated in the documents from the program: `python docs/reference.py`."""

import json
from collections.abc import Iterator
from pathlib import Path

from reconcile.core.report.json_schema import build_report_schema
from reconcile.core.spec.field_types import (
    AnyType,
    Field,
    FieldType,
    ListType,
    MapType,
    ObjectType,
    Scalar,
)
from reconcile.core.spec.json_schema import build_kind_schema
from reconcile.core.spec.kinds import API_VERSION, KINDS

PAGE = Path(__file__).parent / "sessions.md"
SCHEMAS = Path(__file__).parent / "schema"

HEAD = f"""\
# Session files

Written by `python docs/reference.py` from the same tables that check the files; `reconcile schema`
prints them as JSON Schema. All kinds have `apiVersion: {API_VERSION}`.

| kind | file |
|---|---|
| `AgenticSession` | `<namespace>/<any name>.yaml`; the folder is the namespace |
| `ProjectSettings` | `<namespace>/project.yaml`: for all sessions of the namespace |
| `SessionDefaults` | `defaults.yaml`: for all sessions |
| `Policy` | `policy.yaml`: the installation's id, namespaces, budgets, approvals, masks |

A file of sessions may hold several documents. Settings are merged in this order: built-in,
`defaults.yaml`, `project.yaml`, the session. Mappings are merged entry by entry, lists are
replaced, and `null` means "not set here". A session that was exported with
`kubectl get agenticsession -o yaml` is accepted as it is: what the server has set is ignored,
and a terminal `status.phase` or the annotation `ambient-code.io/desired-phase: Stopped` means
`state: Stopped` unless the file sets `state`.
"""


def rows(fields: ObjectType, prefix: str) -> Iterator[str]:
    """Yield a table row for each field, depth first."""
    for field in fields.fields:
        path = f"{prefix}{field.name}"
        yield f"| `{path}` | {kind(field.type)} | {default(field)} | {about(field)} |"
        yield from below(field.type, path)


def below(shape: FieldType, path: str) -> Iterator[str]:
    """Yield the rows of what a field contains."""
    match shape:
        case ObjectType():
            yield from rows(shape, f"{path}.")
        case ListType(item=ObjectType() as item):
            yield from rows(item, f"{path}[].")
        case _:
            return


def kind(shape: FieldType) -> str:
    """Word a field's type."""
    match shape:
        case Scalar(expected=what):
            return what
        case ListType(item=item):
            return f"list of {kind(item)}" if isinstance(item, Scalar) else "list"
        case MapType():
            return "mapping of names"
        case ObjectType():
            return "mapping"
        case AnyType():
            return "anything"


def default(field: Field) -> str:
    """Word what holds when nothing sets the field."""
    if field.required:
        return "required"
    return "" if field.default is None else f"`{field.default}`"


def about(field: Field) -> str:
    """Word what a field is for."""
    return f"{field.description} *It {field.warning}.*" if field.warning else field.description


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, table in KINDS.items():
        spec = table.by_name["spec"].type
        assert isinstance(spec, ObjectType)
        lines = ["| field of `spec` | type | default | what it is |", "|---|---|---|---|"]
        parts.append("\n".join([f"## {name}", "", *lines, *rows(spec, "")]) + "\n")
    return "\n".join(parts)


def generated() -> dict[Path, str]:
    """Every file that is written here, with what it should hold."""
    schemas = {kind: build_kind_schema(kind) for kind in KINDS} | {"report": build_report_schema()}
    files = {SCHEMAS / f"{name}.json": schema for name, schema in schemas.items()}
    return {PAGE: page()} | {
        path: json.dumps(schema, indent=2) + "\n" for path, schema in files.items()
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
