"""Validation of an object by itself: the basic rules of a server, with its messages."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from reconcile.adapters.embedded.kinds import ServedKind
from reconcile.adapters.embedded.storage import JsonDict
from reconcile.core.fields.quantity import parse_quantity

FieldError: TypeAlias = tuple[str, str]
"""A field, and the message of its error."""

REQUIRED: Final = "Required value"

DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
DNS_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
DNS_SUBDOMAIN: Final = re.compile(rf"{DNS_LABEL.pattern}(\.{DNS_LABEL.pattern})*")
LABEL_VALUE: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
QUALIFIED_NAME: Final = re.compile(
    rf"(?=(?:[^/]{{1,253}}/)?[^/]{{1,63}}\Z)({DNS_SUBDOMAIN.pattern}/)?"
    r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
)
CONFIG_KEY: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")
ENV_NAME: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


def invalid_value(value: Any, message: str) -> str:
    """Format the error of an invalid value."""
    return f"Invalid value: {json.dumps(value)}: {message}"


def unsupported_value(value: Any, supported: Sequence[str]) -> str:
    """Format the error of a value that is not one of the supported ones."""
    return f"Unsupported value: {json.dumps(value)}: supported values: {', '.join(supported)}"


_VARIABLE_FIELDS: Final = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.podIP",
    "status.podIPs",
)
"""The fields of a pod that a variable may have as its value."""

_ENTRY_PATH: Final = re.compile(r"metadata\.(?:annotations|labels)\['[^']+'\]")
_LOCAL_PATH: Final = "must be a relative path without `..`"
_RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_LAST_PORT: Final = 65535
_FORBIDDEN_IN_INIT: Final = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")


def validate_pod(obj: JsonDict) -> Iterator[FieldError]:
    """Yield the errors of a pod's spec."""
    spec = obj["spec"]
    if not spec.get("containers"):
        yield "spec.containers", REQUIRED
    if spec["restartPolicy"] not in _RESTART_POLICIES:
        yield "spec.restartPolicy", unsupported_value(spec["restartPolicy"], _RESTART_POLICIES)
    for index, container in enumerate(spec.get("initContainers", ())):
        yield from _init_container(f"spec.initContainers[{index}]", container)
    volumes = {volume.get("name") for volume in spec.get("volumes", ())}
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind, ())):
            yield from _container(f"spec.{kind}[{index}]", container, volumes)


def _container(field: str, container: JsonDict, volumes: set[Any]) -> Iterator[FieldError]:
    yield from _name_and_image(field, container)
    for index, port in enumerate(container.get("ports", ())):
        number = port.get("containerPort", 0)
        if not isinstance(number, int) or not 0 < number <= _LAST_PORT:
            place = f"{field}.ports[{index}].containerPort"
            yield place, invalid_value(number, "must be between 1 and 65535, inclusive")
    for index, variable in enumerate(container.get("env", ())):
        yield from _env_variable(f"{field}.env[{index}]", variable)
    for index, mount in enumerate(container.get("volumeMounts", ())):
        if mount.get("name") not in volumes:
            yield f"{field}.volumeMounts[{index}].name", f'Not found: "{mount.get("name", "")}"'
        path = mount.get("subPath", "")
        if path.startswith("/") or ".." in path.split("/"):
            # The server names no index either.
            yield f"{field}.volumeMounts.subPath", invalid_value(path, _LOCAL_PATH)
    yield from _resources(f"{field}.resources", container["resources"])


def _init_container(field: str, container: JsonDict) -> Iterator[FieldError]:
    """Yield the errors of an init container; only native sidecars may have probes and hooks."""
    policy = container.get("restartPolicy")
    if policy not in (None, "Always"):
        yield f"{field}.restartPolicy", unsupported_value(policy, ("Always",))
    for name in _FORBIDDEN_IN_INIT:
        if policy is None and name in container:
            yield f"{field}.{name}", invalid_value(name, "must not be set for init containers")


def _name_and_image(field: str, container: JsonDict) -> Iterator[FieldError]:
    name, image = container.get("name", ""), container.get("image", "")
    if not name:
        yield f"{field}.name", REQUIRED
    elif not DNS_LABEL.fullmatch(name):
        yield f"{field}.name", invalid_value(name, f"must match {DNS_LABEL.pattern}")
    if not image:
        yield f"{field}.image", REQUIRED
    elif image != image.strip():
        yield f"{field}.image", invalid_value(image, "must not have leading or trailing whitespace")


def _env_variable(field: str, variable: JsonDict) -> Iterator[FieldError]:
    name = variable.get("name", "")
    if not name:
        yield f"{field}.name", REQUIRED
    elif not ENV_NAME.fullmatch(name):
        yield f"{field}.name", invalid_value(name, f"must match {ENV_NAME.pattern}")
    if not isinstance(variable.get("value", ""), str):
        yield f"{field}.value", invalid_value(variable["value"], "must be a string")
    source = variable.get("valueFrom")
    if source is None:
        return
    if variable.get("value"):
        yield f"{field}.valueFrom", invalid_value("", "may not be specified when `value` is set")
    path = source.get("fieldRef", {}).get("fieldPath", _VARIABLE_FIELDS[0])
    if path not in _VARIABLE_FIELDS and not _ENTRY_PATH.fullmatch(path):
        place = f"{field}.valueFrom.fieldRef.fieldPath"
        yield place, unsupported_value(path, _VARIABLE_FIELDS)


def _resources(field: str, resources: JsonDict) -> Iterator[FieldError]:
    for part in ("limits", "requests"):
        for name, text in resources.get(part, {}).items():
            if parse_quantity(str(text)) is None:
                yield f"{field}.{part}[{name}]", invalid_value(text, "must be a quantity")
    for name, text in resources.get("requests", {}).items():
        wanted, limit = parse_quantity(str(text)), resources.get("limits", {}).get(name)
        most = None if limit is None else parse_quantity(str(limit))
        if wanted is not None and most is not None and wanted > most:
            yield (
                f"{field}.requests",
                invalid_value(text, f"must be less than or equal to {name} limit"),
            )


_Rule: TypeAlias = Callable[[JsonDict], Iterator[FieldError]]

_MAX_NAME_LENGTH: Final = 253
_MAX_LABEL_LENGTH: Final = 63
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def validate_object(obj: JsonDict, kind: ServedKind) -> Iterator[FieldError]:
    """Yield the errors of an object."""
    rule = _RULES.get(obj["kind"], _accept_all)
    yield from (*_unknown_fields(obj, kind), *_metadata(obj), *rule(obj))


def _accept_all(_: JsonDict) -> Iterator[FieldError]:
    yield from ()


def _unknown_fields(obj: JsonDict, kind: ServedKind) -> Iterator[FieldError]:
    for name in sorted(obj.keys() - kind.fields):
        yield name, "field not declared in schema"


def _metadata(obj: JsonDict) -> Iterator[FieldError]:
    metadata = obj["metadata"]
    yield from _name(obj["kind"], metadata.get("name", ""))
    yield from _labels(metadata.get("labels", {}))
    for key in metadata.get("annotations", {}):
        if not QUALIFIED_NAME.fullmatch(key.lower()):
            yield "metadata.annotations", invalid_value(key, "must be a qualified name")
    for owner in metadata.get("ownerReferences", ()):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                field = f"metadata.ownerReferences.{name}"
                yield field, invalid_value("", f"{name} must not be empty")


def _name(kind: str, name: str) -> Iterator[FieldError]:
    longest, form = _MAX_NAME_LENGTH, DNS_SUBDOMAIN
    if kind == "Service":
        longest, form = _MAX_LABEL_LENGTH, DNS_LABEL_1035
    if len(name) > longest:
        yield "metadata.name", invalid_value(name, f"must be no more than {longest} characters")
    elif not form.fullmatch(name) and not kind.startswith("Role"):
        yield "metadata.name", invalid_value(name, f"must match {form.pattern}")


def _labels(labels: Mapping[str, Any]) -> Iterator[FieldError]:
    for key, value in labels.items():
        if not QUALIFIED_NAME.fullmatch(key):
            yield "metadata.labels", invalid_value(key, "must be a qualified name")
        if not isinstance(value, str) or not LABEL_VALUE.fullmatch(value):
            yield "metadata.labels", invalid_value(value, f"must match {LABEL_VALUE.pattern}")
        elif len(value) > _MAX_LABEL_LENGTH:
            message = f"must be no more than {_MAX_LABEL_LENGTH} characters"
            yield "metadata.labels", invalid_value(value, message)


def _data(obj: JsonDict) -> Iterator[FieldError]:
    for name in ("data", "binaryData", "stringData"):
        for key, value in obj.get(name, {}).items():
            field = f"{name}[{key}]"
            if not CONFIG_KEY.fullmatch(key):
                yield field, invalid_value(key, f"must match {CONFIG_KEY.pattern}")
            if not isinstance(value, str):
                yield field, invalid_value(type(value).__name__, "must be a string")


def _secret(obj: JsonDict) -> Iterator[FieldError]:
    yield from _data(obj)
    for key, value in obj.get("data", {}).items():
        if isinstance(value, str) and not _BASE64.fullmatch(value):
            yield f"data[{key}]", "Invalid value: must be base64"


def _service(obj: JsonDict) -> Iterator[FieldError]:
    spec = obj["spec"]
    ports = spec.get("ports", [])
    if not ports and spec.get("clusterIP") != "None" and spec["type"] != "ExternalName":
        yield "spec.ports", REQUIRED
    for index, port in enumerate(ports):
        if len(ports) > 1 and not port.get("name"):
            yield f"spec.ports[{index}].name", REQUIRED


def _network_policy(obj: JsonDict) -> Iterator[FieldError]:
    supported = ("Ingress", "Egress")
    for index, each in enumerate(obj["spec"]["policyTypes"]):
        if each not in supported:
            yield f"spec.policyTypes[{index}]", unsupported_value(each, supported)


def _volume_claim(obj: JsonDict) -> Iterator[FieldError]:
    spec = obj["spec"]
    if not spec.get("accessModes"):
        yield "spec.accessModes", REQUIRED
    storage = spec["resources"].get("requests", {}).get("storage")
    if storage is None:
        yield "spec.resources[storage]", REQUIRED
    elif parse_quantity(str(storage)) is None:
        yield "spec.resources[storage]", invalid_value(storage, "must be a quantity")


def _role_binding(obj: JsonDict) -> Iterator[FieldError]:
    reference = obj.get("roleRef", {})
    if not reference.get("name"):
        yield "roleRef.name", REQUIRED
    if reference.get("kind") not in {"Role", "ClusterRole"}:
        yield "roleRef.kind", unsupported_value(reference.get("kind", ""), ("Role", "ClusterRole"))


_RULES: Final[Mapping[str, _Rule]] = {
    "ConfigMap": _data,
    "Secret": _secret,
    "Pod": validate_pod,
    "Service": _service,
    "NetworkPolicy": _network_policy,
    "PersistentVolumeClaim": _volume_claim,
    "RoleBinding": _role_binding,
}
