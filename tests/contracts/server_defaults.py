"""The defaults that servers set in each kind of the templates, and in our forms of a pod."""

from typing import Any

from reconcile.core.model import Kind
from tests.contracts.bodies import (
    ACCOUNT,
    BINDING,
    CLAIM,
    CONFIG_MAP,
    NETWORK_POLICY,
    POD,
    RBAC,
    ROLE,
    SECRET,
    SERVICE,
    pod,
)

ANY = object()
NEWER = {
    ".spec.internalTrafficPolicy",
    ".spec.ipFamilies[0]",
    ".spec.ipFamilyPolicy",
    ".spec.trafficDistribution",
}
"""Further defaults of servers that are newer than the oldest tested one."""

NOT_READY = {
    ".effect": "NoExecute",
    ".key": "node.kubernetes.io/not-ready",
    ".operator": "Exists",
    ".tolerationSeconds": 300,
}
UNREACHABLE = {**NOT_READY, ".key": "node.kubernetes.io/unreachable"}
CONTAINER = {
    ".imagePullPolicy": "IfNotPresent",
    ".resources": {},
    ".terminationMessagePath": "/dev/termination-log",
    ".terminationMessagePolicy": "File",
}
POD_ADDITIONS = {
    ".spec.dnsPolicy": "ClusterFirst",
    ".spec.enableServiceLinks": True,
    ".spec.preemptionPolicy": "PreemptLowerPriority",
    ".spec.priority": 0,
    ".spec.restartPolicy": "Always",
    ".spec.schedulerName": "default-scheduler",
    ".spec.securityContext": {},
    ".spec.serviceAccount": "default",
    ".spec.serviceAccountName": "default",
    ".spec.terminationGracePeriodSeconds": 30,
    **{f".spec.tolerations[0]{key}": value for key, value in NOT_READY.items()},
    **{f".spec.tolerations[1]{key}": value for key, value in UNREACHABLE.items()},
    **{f".spec.containers[0]{key}": value for key, value in CONTAINER.items()},
}
PROBE = {".failureThreshold": 3, ".periodSeconds": 10, ".successThreshold": 1, ".timeoutSeconds": 1}


def without(mapping, *keys):
    return {key: value for key, value in mapping.items() if key not in keys}


CASES: dict[str, tuple[Kind, dict[str, Any], dict[str, Any]]] = {
    "ConfigMap": (CONFIG_MAP, {"data": {"a": "", "b": "x"}}, {}),
    "ServiceAccount": (ACCOUNT, {"automountServiceAccountToken": False}, {}),
    "Secret": (SECRET, {"data": {"a": "eA=="}}, {".type": "Opaque"}),
    "Role": (ROLE, {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}, {}),
    "Service": (
        SERVICE,
        {"spec": {"selector": {"a": "b"}, "ports": [{"port": 80, "protocol": "TCP"}]}},
        {
            ".spec.clusterIP": ANY,
            ".spec.clusterIPs[0]": ANY,
            ".spec.ports[0].targetPort": 80,
            ".spec.sessionAffinity": "None",
            ".spec.type": "ClusterIP",
        },
    ),
    "headless Service": (
        SERVICE,
        {"spec": {"clusterIP": "None", "selector": {"a": "b"}}},
        {
            ".spec.clusterIPs[0]": "None",
            ".spec.sessionAffinity": "None",
            ".spec.type": "ClusterIP",
        },
    ),
    "NetworkPolicy": (
        NETWORK_POLICY,
        {
            "spec": {
                "podSelector": {},
                "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80}]}],
                "egress": [{}],
            }
        },
        {
            ".spec.ingress[0].ports[0].protocol": "TCP",
            ".spec.policyTypes[0]": "Ingress",
            ".spec.policyTypes[1]": "Egress",
        },
    ),
    "PersistentVolumeClaim": (
        CLAIM,
        {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": "",
            }
        },
        {".spec.volumeMode": "Filesystem"},
    ),
    "Pod": (POD, {"spec": pod("")["spec"]}, POD_ADDITIONS),
    "Pod of a moving image": (
        POD,
        {"spec": pod("", {"image": "localhost:5000/runner"})["spec"]},
        {**POD_ADDITIONS, ".spec.containers[0].imagePullPolicy": "Always"},
    ),
    "Pod of a digest": (
        POD,
        {"spec": pod("", {"image": f"runner@sha256:{'0' * 64}"})["spec"]},
        POD_ADDITIONS,
    ),
    "Pod with limits": (
        POD,
        {"spec": pod("", {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}})["spec"]},
        {
            **without(POD_ADDITIONS, ".spec.containers[0].resources"),
            ".spec.containers[0].resources.requests.cpu": "1",
            ".spec.containers[0].resources.requests.memory": "1Gi",
        },
    ),
    "Pod with probes and hooks": (
        POD,
        {
            "spec": pod(
                "",
                {
                    "readinessProbe": {"httpGet": {"port": 80}},
                    "livenessProbe": {"exec": {"command": ["true"]}},
                    "lifecycle": {"preStop": {"httpGet": {"port": 80, "path": "/stop"}}},
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                },
            )["spec"]
        },
        {
            **POD_ADDITIONS,
            ".spec.containers[0].readinessProbe.httpGet.path": "/",
            ".spec.containers[0].readinessProbe.httpGet.scheme": "HTTP",
            ".spec.containers[0].lifecycle.preStop.httpGet.scheme": "HTTP",
            **{f".spec.containers[0].readinessProbe{k}": v for k, v in PROBE.items()},
            **{f".spec.containers[0].livenessProbe{k}": v for k, v in PROBE.items()},
        },
    ),
    "Pod with sources and volumes": (
        POD,
        {
            "spec": pod(
                "",
                {
                    "env": [
                        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {
                            "name": "B",
                            "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}},
                        },
                    ]
                },
                initContainers=[{"name": "first", "image": "runner:1"}],
                volumes=[
                    {"name": "a", "configMap": {"name": "x"}},
                    {"name": "b", "secret": {"secretName": "x", "optional": False}},
                    {"name": "c", "emptyDir": {}},
                    {
                        "name": "d",
                        "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]},
                    },
                    {"name": "e", "hostPath": {"path": "/x"}},
                    {"name": "f", "persistentVolumeClaim": {"claimName": "x"}},
                    {"name": "g"},
                    {
                        "name": "h",
                        "downwardAPI": {
                            "items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]
                        },
                    },
                ],
            )["spec"]
        },
        {
            **POD_ADDITIONS,
            ".spec.containers[0].env[0].valueFrom.fieldRef.apiVersion": "v1",
            ".spec.containers[0].env[1].valueFrom.resourceFieldRef.divisor": "0",
            **{f".spec.initContainers[0]{key}": value for key, value in CONTAINER.items()},
            ".spec.volumes[0].configMap.defaultMode": 420,
            ".spec.volumes[1].secret.defaultMode": 420,
            ".spec.volumes[3].projected.defaultMode": 420,
            ".spec.volumes[3].projected.sources[0].serviceAccountToken.expirationSeconds": 3600,
            ".spec.volumes[4].hostPath.type": "",
            ".spec.volumes[6].emptyDir": {},
            ".spec.volumes[7].downwardAPI.defaultMode": 420,
            ".spec.volumes[7].downwardAPI.items[0].fieldRef.apiVersion": "v1",
        },
    ),
    "RoleBinding": (
        BINDING,
        {
            "roleRef": {"apiGroup": RBAC.partition("/")[0], "kind": "Role", "name": "one"},
            "subjects": [
                {"kind": "User", "name": "u"},
                {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
            ],
        },
        {".subjects[0].apiGroup": "rbac.authorization.k8s.io"},
    ),
}
