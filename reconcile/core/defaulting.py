"""The API server's defaults by kind, and what built-in admission adds to pods and services.

Each function changes the object that it gets.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

MutableObject: TypeAlias = dict[str, Any]
"""An object, or a part of one, that may be modified."""

_POD_DEFAULTS: Final = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
}
_CONTAINER_DEFAULTS: Final = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE_DEFAULTS: Final = {
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
}
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_VOLUMES_WITH_MODE: Final = ("configMap", "secret", "projected", "downwardAPI")
_FILE_MODE: Final = 0o644
_TOKEN_LIFETIME_S: Final = 3600


def iter_containers(spec: MutableObject) -> Iterator[MutableObject]:
    """Yield all containers of a pod's spec, init containers first."""
    yield from spec.get("initContainers", ())
    yield from spec.get("containers", ())


def set_pod_defaults(obj: MutableObject) -> None:
    """Set the defaults of a pod's spec, and its first status."""
    spec = obj.setdefault("spec", {})
    _fill(spec, _POD_DEFAULTS)
    spec.setdefault("securityContext", {})
    for container in iter_containers(spec):
        _set_container_defaults(container)
    for volume in spec.get("volumes", ()):
        _set_volume_defaults(volume)
    obj.setdefault("status", {"phase": "Pending", "qosClass": _qos_class(spec)})


def _fill(target: MutableObject, defaults: MutableObject) -> None:
    for name, value in defaults.items():
        target.setdefault(name, value)


def _set_container_defaults(container: MutableObject) -> None:
    _fill(container, _CONTAINER_DEFAULTS)
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for variable in container.get("env", ()):
        _set_env_source_defaults(variable.get("valueFrom", {}))
    for probe in _PROBES:
        if probe in container:
            _fill(container[probe], _PROBE_DEFAULTS)
            _set_http_get_defaults(container[probe])
    for hook in container.get("lifecycle", {}).values():
        _set_http_get_defaults(hook)
    _set_resource_defaults(container.setdefault("resources", {}))


def _pull_policy(image: Any) -> str:
    name, at, _ = str(image).partition("@")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    latest = tag == "latest" if colon else not at
    return "Always" if latest else "IfNotPresent"


def _set_resource_defaults(resources: MutableObject) -> None:
    limits = resources.get("limits", {})
    if limits:
        resources["requests"] = {**limits, **resources.get("requests", {})}


def _set_env_source_defaults(source: MutableObject) -> None:
    if "fieldRef" in source:
        source["fieldRef"].setdefault("apiVersion", "v1")
    if "resourceFieldRef" in source:
        source["resourceFieldRef"].setdefault("divisor", "0")


def _set_http_get_defaults(action: MutableObject) -> None:
    if "httpGet" in action:
        action["httpGet"].setdefault("path", "/")
        action["httpGet"].setdefault("scheme", "HTTP")


def _set_volume_defaults(volume: MutableObject) -> None:
    if not volume.keys() - {"name"}:
        volume["emptyDir"] = {}
    for name in _VOLUMES_WITH_MODE:
        if name in volume:
            volume[name].setdefault("defaultMode", _FILE_MODE)
            _set_item_defaults(volume[name])
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for source in volume.get("projected", {}).get("sources", ()):
        source.get("serviceAccountToken", {"expirationSeconds": 0}).setdefault(
            "expirationSeconds", _TOKEN_LIFETIME_S
        )
        _set_item_defaults(source.get("downwardAPI", {}))


def _set_item_defaults(projection: MutableObject) -> None:
    for item in projection.get("items", ()):
        _set_env_source_defaults(item)


def _qos_class(spec: MutableObject) -> str:
    resources = [container["resources"] for container in iter_containers(spec)]
    if not any(each.get("requests") or each.get("limits") for each in resources):
        return "BestEffort"
    guaranteed = all(
        set(each.get("limits", {})) >= {"cpu", "memory"} and each["limits"] == each.get("requests")
        for each in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


_TOLERATED_TAINTS: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_TOLERATION_S: Final = 300


def set_account_and_priority(spec: MutableObject) -> None:
    """Set the service account and the priority of a new pod."""
    spec["serviceAccount"] = spec.setdefault("serviceAccountName", "default")
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


def add_default_tolerations(spec: MutableObject) -> None:
    """Add tolerations of an unreachable node, unless the pod has its own."""
    tolerations = spec.setdefault("tolerations", [])
    for key in _TOLERATED_TAINTS:
        if not any(_tolerates(each, key) for each in tolerations):
            tolerations.append(
                {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": _TOLERATION_S,
                }
            )


def set_cluster_ip(spec: MutableObject, address: str) -> None:
    """Set the cluster IP of a service, unless it has one or its type has none."""
    if spec["type"] != "ExternalName":
        spec["clusterIPs"] = [spec.setdefault("clusterIP", address)]


def _tolerates(toleration: MutableObject, key: str) -> bool:
    keys, effects = {None, key}, {None, "NoExecute"}
    return toleration.get("key") in keys and toleration.get("effect") in effects


_AFFINITY_S: Final = 3 * 60 * 60
_RBAC: Final = "rbac.authorization.k8s.io"


def set_defaults(obj: MutableObject) -> None:
    """Set the server's defaults for an object of any kind."""
    rule = _DEFAULTERS.get(obj["kind"])
    if rule:
        rule(obj)


def _set_service_defaults(obj: MutableObject) -> None:
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


def _set_network_policy_defaults(obj: MutableObject) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        for port in rule.get("ports", ()):
            port.setdefault("protocol", "TCP")
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _set_claim_defaults(obj: MutableObject) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("resources", {})
    obj.setdefault("status", {"phase": "Pending"})


def _set_secret_defaults(obj: MutableObject) -> None:
    obj.setdefault("type", "Opaque")
    texts: Mapping[str, Any] = obj.pop("stringData", {})
    if texts:
        encoded = {key: _base64(text) for key, text in texts.items()}
        obj["data"] = {**obj.get("data", {}), **encoded}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _set_role_defaults(obj: MutableObject) -> None:
    obj.setdefault("rules", None)


def _set_role_binding_defaults(obj: MutableObject) -> None:
    obj.get("roleRef", {}).setdefault("apiGroup", _RBAC)
    for subject in obj.get("subjects", ()):
        if subject.get("kind") in {"User", "Group"}:
            subject.setdefault("apiGroup", _RBAC)


_DEFAULTERS: Final[Mapping[str, Callable[[MutableObject], None]]] = {
    "Pod": set_pod_defaults,
    "Service": _set_service_defaults,
    "NetworkPolicy": _set_network_policy_defaults,
    "PersistentVolumeClaim": _set_claim_defaults,
    "Secret": _set_secret_defaults,
    "Role": _set_role_defaults,
    "RoleBinding": _set_role_binding_defaults,
}
