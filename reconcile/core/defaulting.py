"""What the server fills in into a pod."""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]
"""An object, or a part of one, that may be changed."""

_SPEC: Final = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
}
_CONTAINER: Final = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE: Final = {
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
}
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_MODES: Final = ("configMap", "secret", "projected", "downwardAPI")
_FILE_MODE: Final = 0o644
_TOKEN_LIFETIME_S: Final = 3600


def containers_of(spec: Json) -> Iterator[Json]:
    """Yield all containers of a pod's spec, init containers first."""
    yield from spec.get("initContainers", ())
    yield from spec.get("containers", ())


def default_pod(obj: Json) -> None:
    """Fill in a pod's spec and its first status."""
    spec = obj.setdefault("spec", {})
    _fill(spec, _SPEC)
    spec.setdefault("securityContext", {})
    for container in containers_of(spec):
        _container(container)
    for volume in spec.get("volumes", ()):
        _volume(volume)
    obj.setdefault("status", {"phase": "Pending", "qosClass": _quality(spec)})


def _fill(target: Json, defaults: Json) -> None:
    for name, value in defaults.items():
        target.setdefault(name, value)


def _container(container: Json) -> None:
    _fill(container, _CONTAINER)
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for variable in container.get("env", ()):
        _source(variable.get("valueFrom", {}))
    for probe in _PROBES:
        if probe in container:
            _fill(container[probe], _PROBE)
            _http(container[probe])
    for hook in container.get("lifecycle", {}).values():
        _http(hook)
    _resources(container.setdefault("resources", {}))


def _pull_policy(image: Any) -> str:
    name, at, _ = str(image).partition("@")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    latest = tag == "latest" if colon else not at
    return "Always" if latest else "IfNotPresent"


def _resources(resources: Json) -> None:
    limits = resources.get("limits", {})
    if limits:
        resources["requests"] = {**limits, **resources.get("requests", {})}


def _source(source: Json) -> None:
    if "fieldRef" in source:
        source["fieldRef"].setdefault("apiVersion", "v1")
    if "resourceFieldRef" in source:
        source["resourceFieldRef"].setdefault("divisor", "0")


def _http(action: Json) -> None:
    if "httpGet" in action:
        action["httpGet"].setdefault("path", "/")
        action["httpGet"].setdefault("scheme", "HTTP")


def _volume(volume: Json) -> None:
    if not volume.keys() - {"name"}:
        volume["emptyDir"] = {}
    for name in _MODES:
        if name in volume:
            volume[name].setdefault("defaultMode", _FILE_MODE)
            _items(volume[name])
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for source in volume.get("projected", {}).get("sources", ()):
        source.get("serviceAccountToken", {"expirationSeconds": 0}).setdefault(
            "expirationSeconds", _TOKEN_LIFETIME_S
        )
        _items(source.get("downwardAPI", {}))


def _items(projection: Json) -> None:
    for item in projection.get("items", ()):
        _source(item)


def _quality(spec: Json) -> str:
    resources = [container["resources"] for container in containers_of(spec)]
    if not any(each.get("requests") or each.get("limits") for each in resources):
        return "BestEffort"
    guaranteed = all(
        set(each.get("limits", {})) >= {"cpu", "memory"} and each["limits"] == each.get("requests")
        for each in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"
