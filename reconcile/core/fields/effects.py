"""What changing a field costs: nothing, a container's restart, or the whole object.

Source: the update validation of the API server (`ValidatePodUpdate`, `ValidateServiceUpdate`, ...)
and the kubelet, which restarts a container whose image changed whatever the restart policy.
"""

from collections.abc import Callable, Mapping
from typing import Any

from reconcile.core.changes import (
    ABSENT,
    Effect,
    ForcesReplace,
    InPlace,
    Metadata,
    RestartsContainer,
)
from reconcile.core.fields.diff import Difference
from reconcile.core.fields.field_path import Item
from reconcile.core.fields.quantity import parse_quantity
from reconcile.core.model import Kind, KubeObject


def effect_of(kind: Kind, difference: Difference, live: KubeObject) -> Effect:
    """Class one difference of an object of this kind."""
    if difference.is_release or difference.path[:1] == ("metadata",):
        return Metadata()
    rule = _RULES.get((kind.group, kind.name))
    return (
        ForcesReplace()
        if rule is not None and rule(difference, live)
        else _change(difference, live)
    )


def _change(difference: Difference, live: KubeObject) -> Effect:
    match difference.path:
        case ("spec", "containers", Item(((_, name),)), "image"):
            return RestartsContainer(str(name))
        case ("spec", "initContainers", Item(((_, name),)), "image") if _is_sidecar(live, name):
            return RestartsContainer(str(name))
        case _:
            return InPlace()


def _is_sidecar(pod: KubeObject, name: str) -> bool:
    """Tell whether an init container is a native sidecar: it runs as long as the pod does."""
    return any(
        container.get("name") == name and container.get("restartPolicy") == "Always"
        for container in pod.get("spec", {}).get("initContainers", ())
    )


def _pod_is_replaced(difference: Difference, _: KubeObject) -> bool:
    match difference.path:
        case ("spec", "containers" | "initContainers", Item(), "image"):
            return False
        case ("spec", "activeDeadlineSeconds"):
            return not _shortens(difference.before, difference.after)
        case ("spec", "tolerations"):
            return not _adds(difference.before, difference.after)
        case _:
            return True


def _shortens(before: Any, after: Any) -> bool:
    return isinstance(after, int) and (before is ABSENT or before > after)


def _adds(before: Any, after: Any) -> bool:
    if not isinstance(after, list):
        return False
    kept = [_untimed(toleration) for toleration in after]
    return before is ABSENT or all(_untimed(toleration) in kept for toleration in before)


def _untimed(toleration: Any) -> Any:
    """How long it is tolerated is the one thing about a toleration that may change."""
    if not isinstance(toleration, Mapping):
        return toleration
    return {name: value for name, value in toleration.items() if name != "tolerationSeconds"}


def _claim_is_replaced(difference: Difference, _: KubeObject) -> bool:
    match difference.path:
        case ("spec", "resources", "requests", "storage"):
            before = parse_quantity(str(difference.before))
            after = parse_quantity(str(difference.after))
            return before is None or after is None or before >= after
        case _:
            return True


def _service_is_replaced(difference: Difference, live: KubeObject) -> bool:
    had_address = bool(live.get("spec", {}).get("clusterIP"))
    return had_address and difference.path[:2] in {("spec", "clusterIP"), ("spec", "clusterIPs")}


def _data_is_replaced(difference: Difference, live: KubeObject) -> bool:
    return bool(live.get("immutable")) or difference.path == ("type",)


def _binding_is_replaced(difference: Difference, _: KubeObject) -> bool:
    return difference.path[:1] == ("roleRef",)


_RULES: Mapping[tuple[str, str], Callable[[Difference, KubeObject], bool]] = {
    ("", "Pod"): _pod_is_replaced,
    ("", "PersistentVolumeClaim"): _claim_is_replaced,
    ("", "Service"): _service_is_replaced,
    ("", "ConfigMap"): _data_is_replaced,
    ("", "Secret"): _data_is_replaced,
    ("rbac.authorization.k8s.io", "RoleBinding"): _binding_is_replaced,
}
