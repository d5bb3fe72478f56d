"""JSON Patch (RFC 6902) with the operations of plans: add, replace and remove."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any


def patched(body: Any, operations: Iterable[Mapping[str, Any]]) -> Any:
    """Apply operations in order; raises KeyError or IndexError if a path does not exist."""
    body = copy.deepcopy(body)
    for operation in operations:
        *parents, last = [
            segment.replace("~1", "/").replace("~0", "~")
            for segment in operation["path"].split("/")[1:]
        ]
        node = body
        for segment in parents:
            node = node[int(segment)] if isinstance(node, list) else node[segment]
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
