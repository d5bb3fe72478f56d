"""What the server refuses in a pod."""

from collections.abc import Iterator
from typing import Any, Final

from reconcile.adapters.embedded.store import Json
from reconcile.adapters.embedded.syntax import (
    DNS_LABEL,
    ENVIRONMENT,
    REQUIRED,
    Flaw,
    invalid,
    unsupported,
)
from reconcile.core.fields.quantity import parse_quantity

_POLICIES: Final = ("Always", "OnFailure", "Never")
_LAST_PORT: Final = 65535
_RUNNING_ONLY: Final = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")


def pod_flaws(obj: Json) -> Iterator[Flaw]:
    """Yield what is wrong with a pod's spec."""
    spec = obj["spec"]
    if not spec.get("containers"):
        yield "spec.containers", REQUIRED
    if spec["restartPolicy"] not in _POLICIES:
        yield "spec.restartPolicy", unsupported(spec["restartPolicy"], _POLICIES)
    for index, container in enumerate(spec.get("initContainers", ())):
        yield from _initial(f"spec.initContainers[{index}]", container)
    volumes = {volume.get("name") for volume in spec.get("volumes", ())}
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind, ())):
            yield from _container(f"spec.{kind}[{index}]", container, volumes)


def _container(field: str, container: Json, volumes: set[Any]) -> Iterator[Flaw]:
    yield from _names(field, container)
    for index, port in enumerate(container.get("ports", ())):
        number = port.get("containerPort", 0)
        if not isinstance(number, int) or not 0 < number <= _LAST_PORT:
            place = f"{field}.ports[{index}].containerPort"
            yield place, invalid(number, "must be between 1 and 65535, inclusive")
    for index, variable in enumerate(container.get("env", ())):
        yield from _variable(f"{field}.env[{index}]", variable)
    for index, mount in enumerate(container.get("volumeMounts", ())):
        if mount.get("name") not in volumes:
            yield f"{field}.volumeMounts[{index}].name", f'Not found: "{mount.get("name", "")}"'
    yield from _resources(f"{field}.resources", container["resources"])


def _initial(field: str, container: Json) -> Iterator[Flaw]:
    """What is waited for has neither probes nor hooks; a native sidecar may have them."""
    policy = container.get("restartPolicy")
    if policy not in (None, "Always"):
        yield f"{field}.restartPolicy", unsupported(policy, ("Always",))
    for name in _RUNNING_ONLY:
        if policy is None and name in container:
            yield f"{field}.{name}", invalid(name, "must not be set for init containers")


def _names(field: str, container: Json) -> Iterator[Flaw]:
    name, image = container.get("name", ""), container.get("image", "")
    if not name:
        yield f"{field}.name", REQUIRED
    elif not DNS_LABEL.fullmatch(name):
        yield f"{field}.name", invalid(name, f"must match {DNS_LABEL.pattern}")
    if not image:
        yield f"{field}.image", REQUIRED
    elif image != image.strip():
        yield f"{field}.image", invalid(image, "must not have leading or trailing whitespace")


def _variable(field: str, variable: Json) -> Iterator[Flaw]:
    name = variable.get("name", "")
    if not name:
        yield f"{field}.name", REQUIRED
    elif not ENVIRONMENT.fullmatch(name):
        yield f"{field}.name", invalid(name, f"must match {ENVIRONMENT.pattern}")
    if not isinstance(variable.get("value", ""), str):
        yield f"{field}.value", invalid(variable["value"], "must be a string")


def _resources(field: str, resources: Json) -> Iterator[Flaw]:
    for part in ("limits", "requests"):
        for name, text in resources.get(part, {}).items():
            if parse_quantity(str(text)) is None:
                yield f"{field}.{part}[{name}]", invalid(text, "must be a quantity")
    for name, text in resources.get("requests", {}).items():
        wanted, limit = parse_quantity(str(text)), resources.get("limits", {}).get(name)
        most = None if limit is None else parse_quantity(str(limit))
        if wanted is not None and most is not None and wanted > most:
            yield f"{field}.requests", invalid(text, f"must be less than or equal to {name} limit")
