"""What the server refuses to change once an object is there."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from reconcile.adapters.embedded.server_side_apply import without_nulls
from reconcile.adapters.embedded.storage import Json
from reconcile.adapters.embedded.validation import Flaw, invalid
from reconcile.core.defaulting import containers_of
from reconcile.core.fields.quantity import parse_quantity

_Rule: TypeAlias = Callable[[Json, Json], Iterator[Flaw]]

_IMMUTABLE: Final = "field is immutable"
_POD: Final = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, "
    "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` (only "
    "additions to existing tolerations)"
)
_CLAIM: Final = (
    "Forbidden: spec is immutable after creation except resources.requests for bound claims"
)


def flaws_of_change(old: Json, new: Json) -> Iterator[Flaw]:
    """Yield what cannot be changed in this way."""
    rule = _RULES.get(old["kind"])
    yield from _metadata(old["metadata"], new["metadata"])
    if rule:
        yield from rule(old, new)


def _metadata(old: Json, new: Json) -> Iterator[Flaw]:
    added = set(new.get("finalizers", ())) - set(old.get("finalizers", ()))
    if added and "deletionTimestamp" in old:
        yield (
            "metadata.finalizers",
            "Forbidden: no new finalizers can be added if the object is being deleted",
        )


def _pod(old: Json, new: Json) -> Iterator[Flaw]:
    before, after = old["spec"], new["spec"]
    if [len(before.get(kind, ())) for kind in _CONTAINERS] != [
        len(after.get(kind, ())) for kind in _CONTAINERS
    ]:
        yield "spec.containers", "Forbidden: pod updates may not add or remove containers"
        return
    yield from _deadline(before.get(_DEADLINE), after.get(_DEADLINE))
    kept = [_without_seconds(each) for each in after.get("tolerations", ())]
    if any(_without_seconds(each) not in kept for each in before.get("tolerations", ())):
        yield (
            "spec.tolerations",
            "Forbidden: existing toleration can not be modified except its tolerationSeconds",
        )
    elif _fixed(before) != _fixed(after):
        yield "spec", _POD


_CONTAINERS: Final = ("initContainers", "containers")
_DEADLINE: Final = "activeDeadlineSeconds"


def _deadline(before: Any, after: Any) -> Iterator[Flaw]:
    field = f"spec.{_DEADLINE}"
    if before is None:
        return
    if after is None:
        yield field, invalid(None, "must not update from a positive integer to nil value")
    elif after > before:
        yield field, invalid(after, "must be less than or equal to previous value")


def _without_seconds(toleration: Json) -> Json:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _fixed(spec: Json) -> Json:
    """The part of a pod's spec that never changes."""
    fixed: Json = without_nulls(spec)
    for name in (_DEADLINE, "tolerations"):
        fixed.pop(name, None)
    for container in containers_of(fixed):
        container.pop("image", None)
    return fixed


def _config(old: Json, new: Json) -> Iterator[Flaw]:
    if old.get("immutable"):
        if not new.get("immutable"):
            yield "immutable", "Forbidden: field is immutable when `immutable` is set"
        for name in ("data", "binaryData"):
            if old.get(name, {}) != new.get(name, {}):
                yield name, "Forbidden: field is immutable when `immutable` is set"


def _secret(old: Json, new: Json) -> Iterator[Flaw]:
    if old["type"] != new["type"]:
        yield "type", invalid(new["type"], _IMMUTABLE)
    yield from _config(old, new)


def _service(old: Json, new: Json) -> Iterator[Flaw]:
    before, after = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    if before and before != after:
        yield "spec.clusterIPs[0]", invalid([after], "may not change once set")


def _claim(old: Json, new: Json) -> Iterator[Flaw]:
    before, after = without_nulls(old["spec"]), without_nulls(new["spec"])
    sizes = [_size(before), _size(after)]
    bound = old.get("status", {}).get("phase") == "Bound"
    if bound and None not in sizes and sizes[1] < sizes[0]:
        field = "spec.resources.requests.storage"
        yield field, "Forbidden: field can not be less than previous value"
    elif before != after or (sizes[0] != sizes[1] and not bound):
        yield "spec", _CLAIM


def _size(spec: Json) -> Any:
    """Take the size out of a claim's spec."""
    return parse_quantity(spec["resources"].get("requests", {}).pop("storage", ""))


def _role_binding(old: Json, new: Json) -> Iterator[Flaw]:
    if old["roleRef"] != new["roleRef"]:
        yield "roleRef", invalid(new["roleRef"], "cannot change roleRef")


_RULES: Final[Mapping[str, _Rule]] = {
    "ConfigMap": _config,
    "Secret": _secret,
    "Pod": _pod,
    "Service": _service,
    "PersistentVolumeClaim": _claim,
    "RoleBinding": _role_binding,
}
