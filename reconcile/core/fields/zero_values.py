"""What the server does not store: fields whose zero value says the same as their absence.

Values that the API server does not store, and values that it fills in by itself.
"""

from collections.abc import Mapping
from typing import Any, Final

from reconcile.core.fields.quantity import canonicalize_quantity_value

POINTER_FIELDS = frozenset(
    {
        "activeDeadlineSeconds",
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "emptyDir",
        "enableServiceLinks",
        "fsGroup",
        "immutable",
        "namespaceSelector",
        "optional",
        "podSelector",
        "privileged",
        "readOnlyRootFilesystem",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "shareProcessNamespace",
        "storageClassName",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
    }
)
"""Fields whose zero value says something else than their absence."""

_SERVER_DEFAULTS = {
    "apiGroup": "rbac.authorization.k8s.io",
    "apiVersion": "v1",
    "divisor": "0",
    "expirationSeconds": 3600,
    "protocol": "TCP",
    "scheme": "HTTP",
}

_TEXT_MAPS = frozenset({"annotations", "labels", "matchLabels", "nodeSelector"})
"""Maps of text: the server keeps even entries that are empty."""


def is_omitted_when_stored(name: str, value: Any) -> bool:
    """Tell whether a declared field is the same as one that is not there: Go's `omitempty`."""
    return value is None or (name not in POINTER_FIELDS and not value)


def may_be_defaulted(name: str, value: Any) -> bool:
    """Tell whether a field inside an atomic list may have been added by the server itself."""
    return is_omitted_when_stored(name, value) or _SERVER_DEFAULTS.get(name) == value


def is_equal_atomic(declared: Any, live: Any) -> bool:
    """Compare inside an atomic value: all of it is declared, but for what the server fills in."""
    if declared == live:
        return True
    if isinstance(declared, Mapping) and isinstance(live, Mapping):
        return all(
            _is_equal_field(name, value, live[name])
            if name in live
            else is_omitted_when_stored(name, value)
            for name, value in declared.items()
        ) and all(may_be_defaulted(name, live[name]) for name in live.keys() - declared.keys())
    if isinstance(declared, list) and isinstance(live, list):
        return len(declared) == len(live) and all(map(is_equal_atomic, declared, live))
    return False


def _is_equal_field(name: str, declared: Any, live: Any) -> bool:
    return bool(declared == live) if name in _TEXT_MAPS else is_equal_atomic(declared, live)


_USER_KEYED_MAPS: Final = frozenset(
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

_POINTER_SCALARS: Final = frozenset(
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


def normalize_stored(value: Any) -> Any:
    """Give an object, or a part of one, as the server stores it."""
    match value:
        case Mapping():
            parts = ((name, _normalize_field(name, item)) for name, item in value.items())
            return {name: item for name, item in parts if not _is_dropped(name, item)}
        case list():
            return [normalize_stored(item) for item in value]
        case _:
            return value


def _normalize_field(name: str, value: Any) -> Any:
    if name == "status":
        return value
    if (
        name in _USER_KEYED_MAPS
        and isinstance(value, Mapping)
        and not _is_label_selector(name, value)
    ):
        if name not in _QUANTITIES:
            return value
        return {
            key: canonicalize_quantity_value(item, _RESOURCE_DIGITS) for key, item in value.items()
        }
    if name in {"sizeLimit", "divisor"}:
        return canonicalize_quantity_value(value)
    return normalize_stored(value)


def _is_label_selector(name: str, value: Mapping[str, Any]) -> bool:
    return name == "selector" and any(not isinstance(item, str) for item in value.values())


def _is_dropped(name: str, value: Any) -> bool:
    if value is None or value == []:
        return True
    if value == {}:
        return name in _USER_KEYED_MAPS
    return value in ("", 0) and name not in _POINTER_SCALARS
