"""Immutable fields: the changes of an existing object that the server refuses."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from reconcile.adapters.embedded.server_side_apply import without_nulls
from reconcile.adapters.embedded.storage import JsonDict
from reconcile.adapters.embedded.validation import FieldError, invalid_value
from reconcile.core.defaulting import iter_containers
from reconcile.core.fields.quantity import parse_quantity

_Rule: TypeAlias = Callable[[JsonDict, JsonDict], Iterator[FieldError]]

_IMMUTABLE_FIELD: Final = "field is immutable"
_POD_FORBIDDEN: Final = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, "
    "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` (only "
    "additions to existing tolerations)"
)
_VOLUME_CLAIM_FORBIDDEN: Final = (
    "Forbidden: spec is immutable after creation except resources.requests for bound claims"
)


def validate_update(old: JsonDict, new: JsonDict) -> Iterator[FieldError]:
    """Yield the changes that are not allowed."""
    rule = _RULES.get(old["kind"])
    yield from _metadata(old["metadata"], new["metadata"])
    if rule:
        yield from rule(old, new)


def _metadata(old: JsonDict, new: JsonDict) -> Iterator[FieldError]:
    added = set(new.get("finalizers", ())) - set(old.get("finalizers", ()))
    if added and "deletionTimestamp" in old:
        yield (
            "metadata.finalizers",
            "Forbidden: no new finalizers can be added if the object is being deleted",
        )


def _pod(old: JsonDict, new: JsonDict) -> Iterator[FieldError]:
    before, after = old["spec"], new["spec"]
    if [len(before.get(kind, ())) for kind in _CONTAINERS] != [
        len(after.get(kind, ())) for kind in _CONTAINERS
    ]:
        yield "spec.containers", "Forbidden: pod updates may not add or remove containers"
        return
    yield from _deadline(before.get(_DEADLINE), after.get(_DEADLINE))
    remaining = [_without_seconds(each) for each in after.get("tolerations", ())]
    if any(_without_seconds(each) not in remaining for each in before.get("tolerations", ())):
        yield (
            "spec.tolerations",
            "Forbidden: existing toleration can not be modified except its tolerationSeconds",
        )
    elif _immutable_pod_fields(before) != _immutable_pod_fields(after):
        yield "spec", _POD_FORBIDDEN


_CONTAINERS: Final = ("initContainers", "containers")
_DEADLINE: Final = "activeDeadlineSeconds"


def _deadline(before: Any, after: Any) -> Iterator[FieldError]:
    field = f"spec.{_DEADLINE}"
    if before is None:
        return
    if after is None:
        yield field, invalid_value(None, "must not update from a positive integer to nil value")
    elif after > before:
        yield field, invalid_value(after, "must be less than or equal to previous value")


def _without_seconds(toleration: JsonDict) -> JsonDict:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _immutable_pod_fields(spec: JsonDict) -> JsonDict:
    """Return the part of a pod's spec that is immutable."""
    fixed: JsonDict = without_nulls(spec)
    for name in (_DEADLINE, "tolerations"):
        fixed.pop(name, None)
    for container in iter_containers(fixed):
        container.pop("image", None)
    return fixed


def _config_map(old: JsonDict, new: JsonDict) -> Iterator[FieldError]:
    if old.get("immutable"):
        if not new.get("immutable"):
            yield "immutable", "Forbidden: field is immutable when `immutable` is set"
        for name in ("data", "binaryData"):
            if old.get(name, {}) != new.get(name, {}):
                yield name, "Forbidden: field is immutable when `immutable` is set"


def _secret(old: JsonDict, new: JsonDict) -> Iterator[FieldError]:
    if old["type"] != new["type"]:
        yield "type", invalid_value(new["type"], _IMMUTABLE_FIELD)
    yield from _config_map(old, new)


def _service(old: JsonDict, new: JsonDict) -> Iterator[FieldError]:
    before, after = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    if before and before != after:
        yield "spec.clusterIPs[0]", invalid_value([after], "may not change once set")


def _volume_claim(old: JsonDict, new: JsonDict) -> Iterator[FieldError]:
    before, after = without_nulls(old["spec"]), without_nulls(new["spec"])
    sizes = [_pop_storage_request(before), _pop_storage_request(after)]
    bound = old.get("status", {}).get("phase") == "Bound"
    if bound and None not in sizes and sizes[1] < sizes[0]:
        field = "spec.resources.requests.storage"
        yield field, "Forbidden: field can not be less than previous value"
    elif before != after or (sizes[0] != sizes[1] and not bound):
        yield "spec", _VOLUME_CLAIM_FORBIDDEN


def _pop_storage_request(spec: JsonDict) -> Any:
    """Remove the size from a claim's spec, and return it."""
    return parse_quantity(spec["resources"].get("requests", {}).pop("storage", ""))


def _role_binding(old: JsonDict, new: JsonDict) -> Iterator[FieldError]:
    if old["roleRef"] != new["roleRef"]:
        yield "roleRef", invalid_value(new["roleRef"], "cannot change roleRef")


_RULES: Final[Mapping[str, _Rule]] = {
    "ConfigMap": _config_map,
    "Secret": _secret,
    "Pod": _pod,
    "Service": _service,
    "PersistentVolumeClaim": _volume_claim,
    "RoleBinding": _role_binding,
}
