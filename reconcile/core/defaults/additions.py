"""What admission, as every API server has it, adds to pods and services."""

from typing import Final

from reconcile.core.defaulting import Json

_TOLERATED: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_TOLERATION_S: Final = 300


def add_to_pod(spec: Json) -> None:
    """Name the account and the priority of a new pod."""
    spec["serviceAccount"] = spec.setdefault("serviceAccountName", "default")
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


def add_tolerations(spec: Json) -> None:
    """Let a pod stay for a while on a node that is out of reach, unless it says how long itself."""
    tolerations = spec.setdefault("tolerations", [])
    for key in _TOLERATED:
        if not any(_tolerates(each, key) for each in tolerations):
            tolerations.append(
                {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": _TOLERATION_S,
                }
            )


def add_address(spec: Json, address: str) -> None:
    """Give a service its address, unless it has one or asks for none."""
    if spec["type"] != "ExternalName":
        spec["clusterIPs"] = [spec.setdefault("clusterIP", address)]


def _tolerates(toleration: Json, key: str) -> bool:
    keys, effects = {None, key}, {None, "NoExecute"}
    return toleration.get("key") in keys and toleration.get("effect") in effects
