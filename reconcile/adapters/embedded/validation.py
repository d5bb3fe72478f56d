"""What the server refuses in any object: the most basic rules, worded as it words them."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from reconcile.adapters.embedded.kinds import Served
from reconcile.adapters.embedded.podrules import pod_flaws
from reconcile.adapters.embedded.store import Json
from reconcile.adapters.embedded.syntax import (
    CONFIG_KEY,
    DNS_LABEL_1035,
    DNS_SUBDOMAIN,
    LABEL_VALUE,
    QUALIFIED,
    REQUIRED,
    Flaw,
    invalid,
    unsupported,
)
from reconcile.core.fields.quantity import parse_quantity

_Rule: TypeAlias = Callable[[Json], Iterator[Flaw]]

_LONGEST_NAME: Final = 253
_LONGEST_LABEL: Final = 63
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def flaws_of(obj: Json, served: Served) -> Iterator[Flaw]:
    """Yield what is wrong with an object by itself."""
    rule = _RULES.get(obj["kind"], _nothing)
    yield from (*_unknown(obj, served), *_metadata(obj), *rule(obj))


def _nothing(_: Json) -> Iterator[Flaw]:
    yield from ()


def _unknown(obj: Json, served: Served) -> Iterator[Flaw]:
    for name in sorted(obj.keys() - served.fields):
        yield name, "field not declared in schema"


def _metadata(obj: Json) -> Iterator[Flaw]:
    metadata = obj["metadata"]
    yield from _name(obj["kind"], metadata.get("name", ""))
    yield from _labels(metadata.get("labels", {}))
    for key in metadata.get("annotations", {}):
        if not QUALIFIED.fullmatch(key.lower()):
            yield "metadata.annotations", invalid(key, "must be a qualified name")
    for owner in metadata.get("ownerReferences", ()):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                field = f"metadata.ownerReferences.{name}"
                yield field, invalid("", f"{name} must not be empty")


def _name(kind: str, name: str) -> Iterator[Flaw]:
    longest, form = _LONGEST_NAME, DNS_SUBDOMAIN
    if kind == "Service":
        longest, form = _LONGEST_LABEL, DNS_LABEL_1035
    if len(name) > longest:
        yield "metadata.name", invalid(name, f"must be no more than {longest} characters")
    elif not form.fullmatch(name) and not kind.startswith("Role"):
        yield "metadata.name", invalid(name, f"must match {form.pattern}")


def _labels(labels: Mapping[str, Any]) -> Iterator[Flaw]:
    for key, value in labels.items():
        if not QUALIFIED.fullmatch(key):
            yield "metadata.labels", invalid(key, "must be a qualified name")
        if not isinstance(value, str) or not LABEL_VALUE.fullmatch(value):
            yield "metadata.labels", invalid(value, f"must match {LABEL_VALUE.pattern}")
        elif len(value) > _LONGEST_LABEL:
            message = f"must be no more than {_LONGEST_LABEL} characters"
            yield "metadata.labels", invalid(value, message)


def _data(obj: Json) -> Iterator[Flaw]:
    for name in ("data", "binaryData", "stringData"):
        for key, value in obj.get(name, {}).items():
            field = f"{name}[{key}]"
            if not CONFIG_KEY.fullmatch(key):
                yield field, invalid(key, f"must match {CONFIG_KEY.pattern}")
            if not isinstance(value, str):
                yield field, invalid(type(value).__name__, "must be a string")


def _secret(obj: Json) -> Iterator[Flaw]:
    yield from _data(obj)
    for key, value in obj.get("data", {}).items():
        if isinstance(value, str) and not _BASE64.fullmatch(value):
            yield f"data[{key}]", "Invalid value: must be base64"


def _service(obj: Json) -> Iterator[Flaw]:
    spec = obj["spec"]
    ports = spec.get("ports", [])
    if not ports and spec.get("clusterIP") != "None" and spec["type"] != "ExternalName":
        yield "spec.ports", REQUIRED
    for index, port in enumerate(ports):
        if len(ports) > 1 and not port.get("name"):
            yield f"spec.ports[{index}].name", REQUIRED


def _network_policy(obj: Json) -> Iterator[Flaw]:
    known = ("Ingress", "Egress")
    for index, each in enumerate(obj["spec"]["policyTypes"]):
        if each not in known:
            yield f"spec.policyTypes[{index}]", unsupported(each, known)


def _claim(obj: Json) -> Iterator[Flaw]:
    spec = obj["spec"]
    if not spec.get("accessModes"):
        yield "spec.accessModes", REQUIRED
    storage = spec["resources"].get("requests", {}).get("storage")
    if storage is None:
        yield "spec.resources[storage]", REQUIRED
    elif parse_quantity(str(storage)) is None:
        yield "spec.resources[storage]", invalid(storage, "must be a quantity")


def _role_binding(obj: Json) -> Iterator[Flaw]:
    reference = obj.get("roleRef", {})
    if not reference.get("name"):
        yield "roleRef.name", REQUIRED
    if reference.get("kind") not in {"Role", "ClusterRole"}:
        yield "roleRef.kind", unsupported(reference.get("kind", ""), ("Role", "ClusterRole"))


_RULES: Final[Mapping[str, _Rule]] = {
    "ConfigMap": _data,
    "Secret": _secret,
    "Pod": pod_flaws,
    "Service": _service,
    "NetworkPolicy": _network_policy,
    "PersistentVolumeClaim": _claim,
    "RoleBinding": _role_binding,
}
