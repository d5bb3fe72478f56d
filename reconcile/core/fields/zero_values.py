"""What the server does not store: fields whose zero value says the same as their absence."""

from collections.abc import Mapping
from typing import Any, Final

from reconcile.core.fields.quantity import canonical_value

_MAPS: Final = frozenset(
    {
        "annotations",
        "binaryData",
        "data",
        "labels",
        "limits",
        "matchLabels",
        "nodeSelector",
        "overhead",
        "requests",
        "selector",
        "stringData",
    }
)
"""Maps with keys of the user's own: their values stay, empty ones included."""

_QUANTITIES: Final = frozenset({"limits", "requests", "overhead"})

_RESOURCE_DIGITS: Final = 3
"""Resources are kept to the thousandth."""

_POINTERS: Final = frozenset(
    {
        "activeDeadlineSeconds",
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "blockOwnerDeletion",
        "controller",
        "defaultMode",
        "deletionGracePeriodSeconds",
        "enableServiceLinks",
        "expirationSeconds",
        "fsGroup",
        "fsGroupChangePolicy",
        "immutable",
        "mode",
        "optional",
        "preemptionPolicy",
        "priority",
        "privileged",
        "readOnlyRootFilesystem",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "setHostnameAsFQDN",
        "shareProcessNamespace",
        "storageClassName",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
        "volumeMode",
    }
)
"""Scalars that are pointers in the API's types, so that zero is not absence."""


def stored(value: Any) -> Any:
    """Give an object, or a part of one, as the server stores it."""
    match value:
        case Mapping():
            parts = ((name, _field(name, item)) for name, item in value.items())
            return {name: item for name, item in parts if not _is_dropped(name, item)}
        case list():
            return [stored(item) for item in value]
        case _:
            return value


def _field(name: str, value: Any) -> Any:
    if name == "status":
        return value
    if name in _MAPS and isinstance(value, Mapping) and not _is_label_selector(name, value):
        if name not in _QUANTITIES:
            return value
        return {key: canonical_value(item, _RESOURCE_DIGITS) for key, item in value.items()}
    if name in {"sizeLimit", "divisor"}:
        return canonical_value(value)
    return stored(value)


def _is_label_selector(name: str, value: Mapping[str, Any]) -> bool:
    return name == "selector" and any(not isinstance(item, str) for item in value.values())


def _is_dropped(name: str, value: Any) -> bool:
    if value is None or value == []:
        return True
    if value == {}:
        return name in _MAPS
    return value in ("", 0) and name not in _POINTERS
