"""The effect of changing a field: none, a container's restart, or a replaced object.

Source: the update validation of the API server (`ValidatePodUpdate`, `ValidateServiceUpdate`, ...)
and the kubelet, which restarts a container whose image changed, whatever the restart policy.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from reconcile.core.changes import (
    ABSENT,
    Commit,
    Effect,
    FieldChange,
    ForcesReplace,
    InPlace,
    MetadataOnly,
    RestartsContainer,
)
from reconcile.core.fields.diff import Difference
from reconcile.core.fields.field_path import FieldPath, ListItem
from reconcile.core.fields.merge_schema import RESOURCE_DIGITS
from reconcile.core.fields.quantity import parse_stored_quantity
from reconcile.core.model import Kind, KubeObject


def classify_effect(kind: Kind, difference: Difference, live: KubeObject) -> Effect:
    """Classify one difference of an object of this kind."""
    if difference.is_release or difference.path[:1] == ("metadata",):
        return MetadataOnly()
    rule = _REPLACEMENT_RULES.get((kind.group, kind.name))
    return (
        ForcesReplace()
        if rule is not None and rule(difference, live)
        else _update_effect(difference, live)
    )


def is_container_resource(path: FieldPath) -> bool:
    """Whether it is a request or limit of a container, which the subresource `resize` changes."""
    match path:
        case ("spec", "containers" | "initContainers", ListItem(), "resources", *_):
            return True
        case _:
            return False


_PROMPT_KEYS: Final = frozenset(
    {
        "ACTIVE_WORKFLOW_BRANCH",
        "ACTIVE_WORKFLOW_GIT_URL",
        "ACTIVE_WORKFLOW_PATH",
        "INITIAL_PROMPT",
        "LONG_PROMPT",
    }
)
"""The keys of a session's inputs of which a prompt consists; a workflow alone is one too."""


def changes_prompt(change: FieldChange, inputs: KubeObject) -> bool:
    """Whether a changed field of a session's inputs gives it another prompt.

    `inputs` are the declared ones: where they have none, none is delivered. Neither is one that
    another manager changed, and that is put back: it has been delivered before.
    """
    declared = inputs.get("data") or {}
    if not isinstance(change.cause, Commit) or not _PROMPT_KEYS & declared.keys():
        return False
    match change.field_path:
        case ("data", str(key)):
            return key in _PROMPT_KEYS
        case ("data",):
            return True
        case _:
            return False


def _update_effect(difference: Difference, live: KubeObject) -> Effect:
    match difference.path:
        case ("spec", "containers", ListItem(((_, name),)), "image"):
            return RestartsContainer(str(name))
        case ("spec", "initContainers", ListItem(((_, name),)), "image") if _is_sidecar(live, name):
            return RestartsContainer(str(name))
        case _:
            return InPlace()


def _is_sidecar(pod: KubeObject, name: str) -> bool:
    """Whether an init container is a native sidecar, which runs as long as the pod."""
    return any(
        container.get("name") == name and container.get("restartPolicy") == "Always"
        for container in pod.get("spec", {}).get("initContainers", ())
    )


def _replaces_pod(difference: Difference, _: KubeObject) -> bool:
    match difference.path:
        case ("spec", "containers" | "initContainers", ListItem(), "image"):
            return False
        case ("spec", "activeDeadlineSeconds"):
            return not _shortens_deadline(difference.before, difference.after)
        case ("spec", "tolerations"):
            return not _adds_tolerations(difference.before, difference.after)
        case _:
            return True


def _shortens_deadline(before: Any, after: Any) -> bool:
    return isinstance(after, int) and (before is ABSENT or before > after)


def _adds_tolerations(before: Any, after: Any) -> bool:
    if not isinstance(after, list):
        return False
    kept = [_without_toleration_seconds(toleration) for toleration in after]
    return before is ABSENT or all(
        _without_toleration_seconds(toleration) in kept for toleration in before
    )


def _without_toleration_seconds(toleration: Any) -> Any:
    """Remove the one field of a toleration that may change."""
    if not isinstance(toleration, Mapping):
        return toleration
    return {name: value for name, value in toleration.items() if name != "tolerationSeconds"}


def _replaces_claim(difference: Difference, _: KubeObject) -> bool:
    match difference.path:
        case ("spec", "resources", "requests", "storage"):
            before = parse_stored_quantity(difference.before, RESOURCE_DIGITS)
            after = parse_stored_quantity(difference.after, RESOURCE_DIGITS)
            return before is None or after is None or before >= after
        case _:
            return True


def _replaces_service(difference: Difference, live: KubeObject) -> bool:
    had_address = bool(live.get("spec", {}).get("clusterIP"))
    return had_address and difference.path[:2] in {("spec", "clusterIP"), ("spec", "clusterIPs")}


def _replaces_data(difference: Difference, live: KubeObject) -> bool:
    return bool(live.get("immutable")) or difference.path == ("type",)


def _replaces_role_binding(difference: Difference, _: KubeObject) -> bool:
    return difference.path[:1] == ("roleRef",)


_REPLACEMENT_RULES: Mapping[tuple[str, str], Callable[[Difference, KubeObject], bool]] = {
    ("", "Pod"): _replaces_pod,
    ("", "PersistentVolumeClaim"): _replaces_claim,
    ("", "Service"): _replaces_service,
    ("", "ConfigMap"): _replaces_data,
    ("", "Secret"): _replaces_data,
    ("rbac.authorization.k8s.io", "RoleBinding"): _replaces_role_binding,
}
