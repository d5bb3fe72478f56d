"""JSON Patch (RFC 6902)."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from reconcile.adapters.embedded.server_side_apply import without_nulls as plain_json
from reconcile.core.errors import ConflictError


def apply_json_patch(
    body: dict[str, Any], operations: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Carry out a patch on `body` itself, and return it.

    ConflictError where it does not fit: a path is not there, or a `test` fails. The server tells no
    more either.
    """
    root: dict[str, Any] = {"": body}
    for operation in operations:
        try:
            _apply_operation(root, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ConflictError(
                f"the patch does not fit the object as it now is: {operation.get('op')} "
                f"{operation.get('path')}"
            ) from error
    result: dict[str, Any] = root[""]
    return result


def _apply_operation(root: dict[str, Any], operation: Mapping[str, Any]) -> None:
    path = _parse_pointer(operation["path"])
    match operation["op"]:
        case "add":
            _add(root, path, plain_json(operation["value"]))
        case "replace":
            _replace(root, path, plain_json(operation["value"]))
        case "remove":
            _remove(root, path)
        case "move":
            _add(root, path, _remove(root, _parse_pointer(operation["from"])))
        case "copy":
            _add(root, path, copy.deepcopy(_get(root, _parse_pointer(operation["from"]))))
        case "test":
            if _get(root, path) != operation["value"]:
                raise ValueError(operation["path"])
        case unknown:
            raise ValueError(unknown)


def _parse_pointer(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")]


def _get(value: Any, path: list[str]) -> Any:
    for step in path:
        value = value[_key(value, step)]
    return value


def _key(parent: Any, step: str) -> str | int:
    return _index(step) if isinstance(parent, list) else step


def _index(step: str) -> int:
    if not step.isdecimal():
        raise ValueError(step)
    return int(step)


def _add(root: Any, path: list[str], value: Any) -> None:
    parent, step = _get(root, path[:-1]), path[-1]
    if not isinstance(parent, list):
        parent[step] = value
        return
    index = len(parent) if step == "-" else _index(step)
    if index > len(parent):
        raise IndexError(step)
    parent.insert(index, value)


def _replace(root: Any, path: list[str], value: Any) -> None:
    _get(root, path)
    parent, step = _get(root, path[:-1]), path[-1]
    parent[_key(parent, step)] = value


def _remove(root: Any, path: list[str]) -> Any:
    parent, step = _get(root, path[:-1]), path[-1]
    return parent.pop(_key(parent, step))
