"""The `Cluster` port: what becomes of each kind that we ship: defaults, zeros, quantities."""

import base64

import pytest

from tests.contracts.bodies import (
    ACCOUNT,
    BINDING,
    CLAIM,
    CONFIG_MAP,
    DRY,
    NETWORK_POLICY,
    OURS,
    POD,
    RBAC,
    ROLE,
    SECRET,
    SERVICE,
    body,
    pod,
    service,
)

ANY = object()
NEWER = {
    ".spec.internalTrafficPolicy",
    ".spec.ipFamilies[0]",
    ".spec.ipFamilyPolicy",
    ".spec.trafficDistribution",
}
"""What servers later than the oldest that is tried add as well."""

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


def flat(value, path=""):
    """Every scalar of an object, and every empty map or list, by its path."""
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in flat(item, f"{path}.{key}").items()}
    if isinstance(value, list) and value:
        return {k: v for n, item in enumerate(value) for k, v in flat(item, f"{path}[{n}]").items()}
    return {path: value}


def content(obj):
    return flat({key: value for key, value in obj.items() if key not in {"metadata", "status"}})


def without(mapping, *keys):
    return {key: value for key, value in mapping.items() if key not in keys}


CASES = {
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


@pytest.mark.parametrize("case", CASES)
def test_the_server_keeps_what_is_declared_and_adds_its_defaults(cluster, namespace, case):
    kind, fields, additions = CASES[case]
    if kind == BINDING:
        cluster.apply(body(ROLE, namespace, rules=CASES["Role"][1]["rules"]), OURS)
    declared = body(kind, namespace, **fields)
    applied = cluster.apply(declared, OURS)
    kept, found = content(declared), content(applied)
    added = {path: value for path, value in found.items() if path not in kept}
    assert {path: found.get(path) for path in kept} == kept
    assert added.keys() - NEWER == additions.keys()
    for path, value in additions.items():
        assert value in (ANY, added[path]) or added[path] == value


ZEROS = {
    "tty": False,
    "stdin": False,
    "env": [],
    "envFrom": [],
    "ports": [],
    "command": [],
    "workingDir": "",
    "imagePullPolicy": "",
    "resources": {"limits": {}},
    "securityContext": {},
    "livenessProbe": {"exec": {"command": ["true"]}, "initialDelaySeconds": 0, "periodSeconds": 0},
    "volumeMounts": [{"name": "a", "mountPath": "/a", "readOnly": False, "subPath": ""}],
}
VOLUMES = [
    {"name": "a", "configMap": {"name": "x", "optional": False, "defaultMode": 0, "items": []}}
]


def test_zeros_are_dropped_unless_they_say_something(cluster, namespace):
    declared = pod(
        namespace,
        ZEROS,
        volumes=VOLUMES,
        hostNetwork=False,
        hostAliases=[],
        nodeSelector={},
        priorityClassName="",
        shareProcessNamespace=False,
        terminationGracePeriodSeconds=0,
    )
    spec = cluster.apply(declared, OURS)["spec"]
    container = spec["containers"][0]
    dropped = ZEROS.keys() - {"resources", "securityContext", "livenessProbe", "volumeMounts"}
    assert container.keys() & dropped == {"imagePullPolicy"}
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["resources"] == {}
    assert container["securityContext"] == {}
    assert container["volumeMounts"] == [{"name": "a", "mountPath": "/a"}]
    assert container["livenessProbe"].keys() & {"initialDelaySeconds"} == set()
    assert container["livenessProbe"]["periodSeconds"] == 10
    assert spec["volumes"][0]["configMap"] == {"name": "x", "optional": False, "defaultMode": 0}
    assert (
        spec.keys() & {"hostNetwork", "hostAliases", "nodeSelector", "priorityClassName"} == set()
    )
    assert spec["shareProcessNamespace"] is False
    assert spec["automountServiceAccountToken"] is False
    assert spec["terminationGracePeriodSeconds"] == 0


def test_an_empty_value_of_a_variable_is_dropped_but_not_of_a_label(cluster, namespace):
    declared = pod(namespace, {"env": [{"name": "A", "value": ""}]})
    declared["metadata"]["labels"] = {"a": ""}
    applied = cluster.apply(declared, OURS)
    assert applied["spec"]["containers"][0]["env"] == [{"name": "A"}]
    assert applied["metadata"]["labels"] == {"a": ""}


def test_an_empty_list_of_rules_is_no_list(cluster, namespace):
    spec = {"podSelector": {}, "ingress": [], "policyTypes": ["Ingress"]}
    applied = cluster.apply(body(NETWORK_POLICY, namespace, spec=spec), OURS)
    assert applied["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        ("1", "1"),
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1500m", "1500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000", "1k"),
        ("128974848", "128974848"),
        ("0.5Ki", "512"),
        ("1e3", "1e3"),
        ("1000e3", "1e6"),
        ("2048Ki", "2Mi"),
        ("0.0000000001", "1m"),
        ("1.1Gi", "1181116006400m"),
        ("0", "0"),
        ("0Gi", "0"),
    ],
)
def test_a_quantity_is_written_in_its_canonical_form(cluster, namespace, declared, written):
    resources = {"limits": {"example.com/thing": "1", "cpu": declared}}
    volumes = [{"name": "w", "emptyDir": {"sizeLimit": declared}}]
    if written in {"1m", "500m", "1500m"}:
        volumes = []
    spec = cluster.apply(pod(namespace, {"resources": resources}, volumes=volumes), DRY)["spec"]
    assert spec["containers"][0]["resources"]["limits"]["cpu"] == written
    assert all(volume["emptyDir"]["sizeLimit"] == written for volume in spec.get("volumes", ()))


def test_text_of_a_secret_is_encoded(cluster, namespace):
    declared = body(SECRET, namespace, stringData={"a": "é"}, data={"b": "eA=="})
    applied = cluster.apply(declared, OURS)
    assert "stringData" not in applied
    assert applied["data"] == {"a": base64.b64encode("é".encode()).decode(), "b": "eA=="}


def test_text_of_a_secret_stays_when_it_is_declared_no_more(cluster, namespace):
    cluster.apply(body(SECRET, namespace, stringData={"a": "x"}), OURS)
    assert cluster.apply(body(SECRET, namespace), OURS)["data"] == {"a": "eA=="}


def test_a_token_is_mounted_unless_the_pod_does_without(cluster, namespace):
    declared = pod(namespace)
    del declared["spec"]["automountServiceAccountToken"]
    spec = cluster.apply(declared, OURS)["spec"]
    mount = spec["containers"][0]["volumeMounts"][0]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert mount["name"] == spec["volumes"][0]["name"]
    assert cluster.apply(declared, OURS)["spec"] == spec


def test_an_account_can_do_without_a_token_for_its_pods(cluster, namespace):
    cluster.apply(body(ACCOUNT, namespace, "quiet", automountServiceAccountToken=False), OURS)
    declared = pod(namespace, serviceAccountName="quiet")
    del declared["spec"]["automountServiceAccountToken"]
    assert "volumes" not in cluster.apply(declared, OURS)["spec"]


def test_new_ports_of_a_service_come_last_and_a_new_order_is_no_change(cluster, namespace):
    first = cluster.apply(service(namespace, 81, 80), OURS)
    assert [port["port"] for port in first["spec"]["ports"]] == [81, 80]
    second = cluster.apply(service(namespace, 80, 81, 79), OURS)
    assert {port["port"] for port in second["spec"]["ports"]} == {79, 80, 81}
    assert second["spec"]["clusterIP"] == first["spec"]["clusterIP"]


def test_a_policy_counts_generations_of_its_spec(cluster, namespace):
    def applied(**fields):
        made = body(NETWORK_POLICY, namespace, **fields)
        return cluster.apply(made, OURS)["metadata"]["generation"]

    assert applied(spec={"podSelector": {}}) == 1
    assert applied(spec={"podSelector": {}}, metadata={"labels": {"a": "b"}}) == 1
    assert applied(spec={"podSelector": {}, "policyTypes": ["Egress"]}) == 2
