"""Values that the API server does not store, and values that it fills in by itself."""

from collections.abc import Mapping
from typing import Any

POINTERS = frozenset(
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

_FILLED_IN = {
    "apiGroup": "rbac.authorization.k8s.io",
    "apiVersion": "v1",
    "divisor": "0",
    "expirationSeconds": 3600,
    "protocol": "TCP",
    "scheme": "HTTP",
}

_TABLES = frozenset({"annotations", "labels", "matchLabels", "nodeSelector"})
"""Maps of text: the server keeps even entries that are empty."""


def means_absent(name: str, value: Any) -> bool:
    """Tell whether a declared field is the same as one that is not there: Go's `omitempty`."""
    return value is None or (name not in POINTERS and not value)


def filled_in(name: str, value: Any) -> bool:
    """Tell whether a field inside an atomic list may have been added by the server itself."""
    return means_absent(name, value) or _FILLED_IN.get(name) == value


def covers_exactly(declared: Any, live: Any) -> bool:
    """Compare inside an atomic value: all of it is declared, but for what the server fills in."""
    if declared == live:
        return True
    if isinstance(declared, Mapping) and isinstance(live, Mapping):
        return all(
            _covers_field(name, value, live[name]) if name in live else means_absent(name, value)
            for name, value in declared.items()
        ) and all(filled_in(name, live[name]) for name in live.keys() - declared.keys())
    if isinstance(declared, list) and isinstance(live, list):
        return len(declared) == len(live) and all(map(covers_exactly, declared, live))
    return False


def _covers_field(name: str, declared: Any, live: Any) -> bool:
    return bool(declared == live) if name in _TABLES else covers_exactly(declared, live)
