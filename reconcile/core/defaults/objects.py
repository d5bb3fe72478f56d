"""What the server fills in, kind by kind; each function changes the object that it is given."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from reconcile.core.defaulting import Json, default_pod

_AFFINITY_S: Final = 3 * 60 * 60
_RBAC: Final = "rbac.authorization.k8s.io"


def set_defaults(obj: Json) -> None:
    """Fill in what the author left out."""
    rule = _RULES.get(obj["kind"])
    if rule:
        rule(obj)


def _service(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    spec.setdefault("type", "ClusterIP")
    if spec.setdefault("sessionAffinity", "None") == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {"clientIP": {"timeoutSeconds": _AFFINITY_S}})
    else:
        spec.pop("sessionAffinityConfig", None)
    obj.setdefault("status", {"loadBalancer": {}})


def _network_policy(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        for port in rule.get("ports", ()):
            port.setdefault("protocol", "TCP")
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _claim(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("resources", {})
    obj.setdefault("status", {"phase": "Pending"})


def _secret(obj: Json) -> None:
    obj.setdefault("type", "Opaque")
    texts: Mapping[str, Any] = obj.pop("stringData", {})
    if texts:
        encoded = {key: _base64(text) for key, text in texts.items()}
        obj["data"] = {**obj.get("data", {}), **encoded}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _role(obj: Json) -> None:
    obj.setdefault("rules", None)


def _role_binding(obj: Json) -> None:
    obj.get("roleRef", {}).setdefault("apiGroup", _RBAC)
    for subject in obj.get("subjects", ()):
        if subject.get("kind") in {"User", "Group"}:
            subject.setdefault("apiGroup", _RBAC)


_RULES: Final[Mapping[str, Callable[[Json], None]]] = {
    "Pod": default_pod,
    "Service": _service,
    "NetworkPolicy": _network_policy,
    "PersistentVolumeClaim": _claim,
    "Secret": _secret,
    "Role": _role,
    "RoleBinding": _role_binding,
}
