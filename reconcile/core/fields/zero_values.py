"""Zero values and quantities: what the API server stores of a value that is declared.

The server omits a field whose value is Go's zero value, unless the field is a pointer in the API's
types: then zero and absent are different. A comparison must follow the same rule, or it would
report a difference after each apply.
"""

from collections.abc import Mapping
from typing import Any, Final

from reconcile.core.fields.merge_schema import RESOURCE_DIGITS
from reconcile.core.fields.quantity import canonicalize_quantity_value, same_quantity

POINTER_FIELDS: Final = frozenset(
    {
        "activeDeadlineSeconds",
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "blockOwnerDeletion",
        "controller",
        "defaultMode",
        "deletionGracePeriodSeconds",
        "emptyDir",
        "enableServiceLinks",
        "expirationSeconds",
        "fsGroup",
        "fsGroupChangePolicy",
        "immutable",
        "mode",
        "namespaceSelector",
        "optional",
        "podSelector",
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
"""Fields whose zero value is stored, and differs from an absent field. A test says why for each."""

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
"""Maps whose keys the user chooses: the server keeps their entries, empty values included."""

_RESOURCES: Final = frozenset({"limits", "requests", "overhead"})
_QUANTITIES: Final = frozenset({"sizeLimit", "divisor"})

_SERVER_DEFAULTS: Final = {
    "apiGroup": "rbac.authorization.k8s.io",
    "apiVersion": "v1",
    "divisor": "0",
    "expirationSeconds": 3600,
    "protocol": "TCP",
    "scheme": "HTTP",
}


def is_omitted_when_stored(name: str, value: Any) -> bool:
    """Whether a declared field is equal to an absent one, as with Go's `omitempty`."""
    return value is None or (name not in POINTER_FIELDS and not value)


def may_be_defaulted(name: str, value: Any) -> bool:
    """Whether the server itself may have added a field inside an atomic list."""
    return is_omitted_when_stored(name, value) or _SERVER_DEFAULTS.get(name) == value


def is_equal_atomic(declared: Any, live: Any) -> bool:
    """Compare an atomic value, which is declared completely except for the server's defaults.

    The server stores an empty list of a field without `omitempty` as null.
    """
    if declared == live:
        return True
    if live is None:
        return declared in ([], {})
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
    if name in _QUANTITIES:
        return same_quantity(declared, live)
    if not _has_user_keys(name, declared):
        return is_equal_atomic(declared, live)
    if name in _RESOURCES and isinstance(live, Mapping) and declared.keys() == live.keys():
        return all(same_quantity(declared[key], live[key], RESOURCE_DIGITS) for key in declared)
    return bool(declared == live)


def normalize_stored(value: Any) -> Any:
    """Convert an object, or a part of one, to the form in which the server stores it."""
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
    if _has_user_keys(name, value):
        return _normalize_resources(value) if name in _RESOURCES else value
    if name in _QUANTITIES:
        return canonicalize_quantity_value(value)
    return normalize_stored(value)


def _normalize_resources(quantities: Mapping[str, Any]) -> Mapping[str, Any]:
    items = quantities.items()
    return {key: canonicalize_quantity_value(item, RESOURCE_DIGITS) for key, item in items}


def _has_user_keys(name: str, value: Any) -> bool:
    """Whether the user chooses the keys of a map; the `selector` of a workload has fixed fields."""
    if name not in _USER_KEYED_MAPS or not isinstance(value, Mapping):
        return False
    return name != "selector" or all(isinstance(item, str) for item in value.values())


def _is_dropped(name: str, value: Any) -> bool:
    if value is None or value == []:
        return True
    if value == {}:
        return name in _USER_KEYED_MAPS
    return value in ("", 0) and name not in POINTER_FIELDS
