"""JSON Patch (RFC 6902) as far as plans use it: add, replace and remove."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any


def patched(body: Any, operations: Iterable[Mapping[str, Any]]) -> Any:
    """Carry out operations one after another; KeyError or IndexError where a place is not there."""
    body = copy.deepcopy(body)
    for operation in operations:
        *parents, last = [
            step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]
        ]
        node = body
        for step in parents:
            node = node[int(step)] if isinstance(node, list) else node[step]
        _change(node, last, operation)
    return body


def _change(node: Any, last: str, operation: Mapping[str, Any]) -> None:
    value = copy.deepcopy(operation.get("value"))
    match operation["op"], node:
        case "add", list():
            node.insert(len(node) if last == "-" else int(last), value)
        case "add", dict():
            node[last] = value
        case "replace", list():
            node[int(last)] = value
        case "replace", dict():
            del node[last]
            node[last] = value
        case "remove", list():
            del node[int(last)]
        case "remove", dict():
            del node[last]
        case _:
            raise KeyError(operation["path"])
