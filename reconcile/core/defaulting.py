"""What the server fills in into a pod.

What admission, as every API server has it, adds to pods and services.

What the server fills in, kind by kind; each function changes the object that it is given.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
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
