"""Server-side apply: what is declared becomes the object's, and the manager's.

What a body must be before it can be merged at all.

Declared fields into an object, and fields that nobody declares any more out of it.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

from reconcile.adapters.embedded.managed_fields import (
    APPLY,
    UPDATE,
    Claim,
    Comparison,
    Managers,
    Who,
    child_of,
    compare,
    managers_of,
    record,
    steps,
    without,
)
from reconcile.core.errors import ConflictError, FieldOwner, InvalidError
from reconcile.core.fields.managed_fields import (
    FieldSet,
    Path,
    fields_of,
    intersection,
    key_of,
    leaves,
    union,
)
from reconcile.core.fields.merge_schema import Granular, Keyed, Node, SetOf, Unknown
from reconcile.core.model import KubeObject
from reconcile.engine.ports import ApplyOptions


def check_shape(value: Any, node: Node) -> None:
    """Refuse lists in which two items have one key, as an InvalidError."""
    if isinstance(node, Keyed) and isinstance(value, list):
        for key, count in Counter(key_of(item, node) for item in value).items():
            if count > 1:
                raise InvalidError(f"duplicate entries for key {key[2:]}")
    for key, below in steps(value, node).items():
        check_shape(below, child_of(node, key))


Value = TypeVar("Value")


def merge(live: Any, declared: Any, node: Node) -> Any:
    """Put what is declared over what is live; new list items come after those that are there."""
    match live, declared, node:
        case Mapping(), Mapping(), Granular() | Unknown():
            return {**live, **_merged(live, declared, node)}
        case list(), list(), Keyed() | SetOf():
            olds, news = steps(live, node), steps(declared, node)
            child = child_of(node, "")
            mixed = {key: _merge_one(olds, key, item, child) for key, item in news.items()}
            return list({**olds, **mixed}.values())
        case _:
            return declared


def _merged(
    live: Mapping[str, Any], declared: Mapping[str, Any], node: Granular | Unknown
) -> dict[str, Any]:
    return {
        name: _merge_one(live, name, value, child_of(node, f"f:{name}"))
        for name, value in declared.items()
    }


def _merge_one(live: Mapping[str, Any], key: str, declared: Any, node: Node) -> Any:
    return merge(live[key], declared, node) if key in live else declared


def prune(value: Any, last: FieldSet, kept: FieldSet, node: Node) -> Any:
    """Take out of a value what is in `last`, unless it or something in it is in `kept`.

    A list item goes as a whole as soon as nobody owns the item as such; a map, as soon as nobody
    owns anything in it. What has no owner at all goes with what it stands in.
    """
    below = steps(value, node)
    if not below:
        return value
    for key, owned in last.items():
        if key not in below:
            continue
        if _goes(key, owned, kept.get(key)):
            del below[key]
        elif owned:
            below[key] = prune(below[key], owned, kept.get(key, {}), child_of(node, key))
    if isinstance(value, list):
        return list(below.values())
    return {key[2:]: item for key, item in below.items()}


def _goes(key: str, owned: FieldSet, kept: FieldSet | None) -> bool:
    if key.startswith("f:"):
        return kept is None
    return _has_itself(owned) and (kept is None or not _has_itself(kept))


def _has_itself(fields: FieldSet) -> bool:
    return not fields or "." in fields


_BEFORE = Who("before-first-apply", UPDATE)
_ALWAYS_KEPT: FieldSet = {"f:metadata": {".": {}}}
_IDENTITY = ("name", "namespace", "uid", "resourceVersion", "managedFields", "creationTimestamp")


def apply_declared(
    live: KubeObject, body: KubeObject, options: ApplyOptions, schema: Granular, time: str
) -> dict[str, Any]:
    """Give the object as the manager wants it, its ownership recorded; no defaults are set yet.

    `live` has identity alone where the object is to be created. ConflictError with every manager
    and field that stands against it, unless forced.
    """
    me = Who(options.manager, APPLY)
    managers = _claimed(live, schema, time)
    declared = declared_fields(body)
    check_shape(declared, schema)
    mine = fields_of(declared, schema)
    last = managers.pop(me, Claim({}, time)).fields
    kept = union(mine, _ALWAYS_KEPT)
    for claim in managers.values():
        kept = union(kept, claim.fields)
    before = plain(live)
    wanted = prune(merge(before, declared, schema), last, kept, schema)
    comparison = compare(before, wanted, schema)
    others = _taken_over(managers, comparison, force=options.force)
    return _recorded(wanted, {**others, me: Claim(mine, time)})


def updated(
    live: KubeObject, new: KubeObject, who: Who, schema: Granular, time: str
) -> dict[str, Any]:
    """Give an object that was written as a whole: the writer owns what it changed."""
    managers = managers_of(dict(live))
    wanted = plain(new)
    if not managers and "resourceVersion" in live["metadata"]:
        # As the server has it: what nobody has claimed so far is tracked from the next apply on.
        return wanted
    written, removed = compare(plain(live), wanted, schema)
    if written or removed:
        managers = without(managers, union(written, removed))
    if written:
        own = managers.get(who, Claim({}, time)).fields
        managers[who] = Claim(union(own, written), time)
    return _recorded(wanted, managers)


def declared_fields(body: KubeObject) -> dict[str, Any]:
    """Take what a body declares, without identity and without nulls."""
    declared: dict[str, Any] = without_nulls(dict(body))
    metadata = declared.get("metadata", {})
    for name in _IDENTITY:
        metadata.pop(name, None)
    return declared


def without_nulls(value: Any) -> Any:
    """Drop every field that is null, at any depth; the result shares nothing with the argument."""
    match value:
        case Mapping():
            return {key: without_nulls(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [without_nulls(item) for item in value]
        case _:
            return value


def plain(obj: KubeObject) -> dict[str, Any]:
    """Give the object without its managedFields."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def _claimed(live: KubeObject, schema: Granular, time: str) -> Managers:
    managers = managers_of(dict(live))
    if managers:
        return managers
    # An object that came without managers keeps its fields against the first who applies.
    metadata = {key: live["metadata"][key] for key in _IDENTITY if key in live["metadata"]}
    return {
        _BEFORE: Claim(compare({**_named(live), "metadata": metadata}, live, schema).written, time)
    }


def _named(obj: KubeObject) -> dict[str, Any]:
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}


def _taken_over(managers: Managers, comparison: Comparison, *, force: bool) -> Managers:
    written, removed = comparison
    contested = {who: intersection(claim.fields, written) for who, claim in managers.items()}
    conflicts = {who: fields for who, fields in contested.items() if fields}
    if conflicts and not force:
        raise ConflictError(_conflict_message(conflicts), tuple(_owners(conflicts)))
    return without(managers, union(written, removed))


def _recorded(obj: dict[str, Any], managers: Managers) -> dict[str, Any]:
    record(obj, managers)
    return obj


def _owners(conflicts: Mapping[Who, FieldSet]) -> list[FieldOwner]:
    return [
        FieldOwner(who.manager, field_name(path))
        for who, fields in sorted(conflicts.items())
        for path in sorted(leaves(fields))
    ]


def _conflict_message(conflicts: Mapping[Who, FieldSet]) -> str:
    owners = [f'"{owner.manager}": {owner.field}' for owner in _owners(conflicts)]
    noun = "conflict" if len(owners) == 1 else "conflicts"
    return f"Apply failed with {len(owners)} {noun}: conflict with {', '.join(owners)}"


def field_name(path: Path) -> str:
    """Word a path as the server does: `.spec.containers[name="runner"].image`."""
    return "".join(_word(step) for step in path)


def _word(step: str) -> str:
    form, _, text = step.partition(":")
    match form:
        case "f":
            return f".{text}"
        case "k":
            keys = (f"{key}={json.dumps(value)}" for key, value in json.loads(text).items())
            return f"[{','.join(keys)}]"
        case _:
            return f"[={text}]"
