"""Checks the objects of a state file: a user, or another program, may have changed them.

Objects of a real API server always have these types, so that no other module checks them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

_Check: TypeAlias = Callable[[Any], bool]
_Shape: TypeAlias = "_Check | type | list[Any] | Mapping[str, Any]"

_TIME: Final = re.compile(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z", re.ASCII
)
_EACH: Final = "*"
_TEXTS: Final = {_EACH: str}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31


def _is_fields(value: Any) -> bool:
    """Whether it is the `fieldsV1` of a manager: mappings in mappings."""
    stack = [value]
    while stack:
        item = stack.pop()
        if not isinstance(item, dict) or not all(map(_is_field_name, item)):
            return False
        stack.extend(item.values())
    return True


def _is_field_name(name: str) -> bool:
    return name == "." or name.startswith(("f:", "k:{", "v:", "i:"))


_METADATA: Final = {
    "name": _is_name,
    "namespace": str,
    "uid": _is_name,
    "resourceVersion": str,
    "generation": _is_number,
    "labels": _TEXTS,
    "annotations": _TEXTS,
    "finalizers": [str],
    "ownerReferences": [{"apiVersion": str, "kind": str, "name": str, "uid": _is_name}],
    "managedFields": [
        {"manager": str, "operation": str, "subresource": str, "fieldsV1": _is_fields}
    ],
    "creationTimestamp": _is_time,
    "deletionTimestamp": _is_time,
    "deletionGracePeriodSeconds": _is_number,
}
_CONTAINER: Final = {
    "name": _is_name,
    "image": str,
    "env": [{"name": str}],
    "envFrom": [{}],
    "ports": [{"containerPort": _is_number}],
    "volumeMounts": [{"name": str, "mountPath": str}],
    "resources": {_EACH: {}},
    "restartPolicy": str,
}
_STATE: Final = {
    _EACH: {"startedAt": _is_time, "finishedAt": _is_time, "exitCode": _is_number, "reason": str}
}
_CONTAINER_STATUS: Final = {
    "name": str,
    "state": _STATE,
    "lastState": _STATE,
    "restartCount": _is_number,
}
_POD: Final = {
    "spec": {
        "containers": [_CONTAINER],
        "initContainers": [_CONTAINER],
        "volumes": [{"name": str}],
        "nodeName": str,
        "terminationGracePeriodSeconds": _is_number,
        "restartPolicy": str,
        "securityContext": {},
    },
    "status": {
        "phase": str,
        "reason": str,
        "message": str,
        "startTime": _is_time,
        "conditions": [{"type": str, "status": str, "reason": str, "message": str}],
        "containerStatuses": [_CONTAINER_STATUS],
        "initContainerStatuses": [_CONTAINER_STATUS],
    },
}
_KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "Pod": _POD,
    "ConfigMap": {"data": _TEXTS, "binaryData": _TEXTS},
    "Secret": {"data": _TEXTS},
    "Service": {"spec": {"ports": [{}], "selector": _TEXTS}},
    "NetworkPolicy": {
        "spec": {
            "podSelector": {},
            "policyTypes": [str],
            "ingress": [{"from": [{}], "ports": [{}]}],
            "egress": [{"to": [{}], "ports": [{}]}],
        }
    },
}
_OTHER: Final[Mapping[str, Any]] = {"spec": {}, "status": {}}
_REQUIRED: Final = {"Pod": (("spec", "containers"), ("spec", "terminationGracePeriodSeconds"))}


def find_shape_error(item: Any) -> str:
    """Return the path of the first wrong value and what is wrong; empty for a usable object."""
    if not isinstance(item, dict):
        return "is not an object"
    for name in ("apiVersion", "kind"):
        if not _is_name(item.get(name)):
            return f".{name} is missing"
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or "name" not in metadata:
        return ".metadata.name is missing"
    shape = {"metadata": _METADATA, **_KINDS.get(item["kind"], _OTHER)}
    return next(_find_errors(item, shape, ""), "") or _find_missing(item)


def _find_missing(item: Mapping[str, Any]) -> str:
    for first, second in _REQUIRED.get(item["kind"], ()):
        if second not in item.get(first, {}):
            return f".{first}.{second} is missing"
    return ""


def _find_errors(value: Any, shape: Any, path: str) -> Iterator[str]:
    match shape:
        case dict():
            yield from _find_mapping_errors(value, shape, path)
        case [item]:
            if not isinstance(value, list):
                yield f"{path} is not a list"
                return
            for index, child in enumerate(value):
                yield from _find_errors(child, item, f"{path}[{index}]")
        case type():
            if not isinstance(value, shape):
                yield f"{path} is not a text"
        case _:
            if not shape(value):
                yield f"{path} is not {_EXPECTED[shape]}"


def _find_mapping_errors(value: Any, shape: Mapping[str, Any], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is not a mapping"
        return
    for name, child in value.items():
        expected = shape.get(name, shape.get(_EACH))
        if expected is not None:
            yield from _find_errors(child, expected, f"{path}.{name}")


_EXPECTED: Final[Mapping[_Check, str]] = {
    _is_name: "a text",
    _is_time: "a time such as 2026-01-31T12:00:00Z",
    _is_number: "a number of at most 31 bits",
    _is_fields: "the fields of a manager",
}
