"""The `Cluster` port: defaults, zero values and quantities in each kind of the templates."""

import base64

import pytest

from reconcile.core.fields.diff import covers, find_differences
from reconcile.core.fields.merge_schema import merge_schema_for
from tests.contracts.bodies import (
    ACCOUNT,
    BINDING,
    CLAIM,
    DRY,
    NETWORK_POLICY,
    OURS,
    ROLE,
    SECRET,
    SERVICE,
    UNUSED_UID,
    body,
    config_map,
    kind_of,
    pod,
    service,
)
from tests.contracts.server_defaults import ANY, CASES, NEWER
from tests.core.render.sessions import EVERY_FIELD, session, shipped_bodies


def flat(value, path=""):
    """Every scalar of an object, and every empty map or list, by its path."""
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in flat(item, f"{path}.{key}").items()}
    if isinstance(value, list) and value:
        return {k: v for n, item in enumerate(value) for k, v in flat(item, f"{path}[{n}]").items()}
    return {path: value}


def content(obj):
    return flat({key: value for key, value in obj.items() if key not in {"metadata", "status"}})


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


def pod_with_zero_pointers(namespace):
    """A pod that declares each pointer field which its server accepts as zero."""
    security = {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": False,
        "runAsGroup": 0,
        "runAsNonRoot": False,
        "runAsUser": 0,
    }
    item = {"key": "k", "path": "p", "mode": 0}
    volumes = [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "configMap": {"name": "x", "optional": False, "defaultMode": 0}},
        {"name": "c", "configMap": {"name": "x", "items": [item]}},
        {"name": "d", "projected": {"defaultMode": 0, "sources": [{"configMap": {"name": "x"}}]}},
    ]
    toleration = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
    return pod(
        namespace,
        {"securityContext": security},
        volumes=volumes,
        enableServiceLinks=False,
        priority=0,
        securityContext={"fsGroup": 0},
        setHostnameAsFQDN=False,
        shareProcessNamespace=False,
        terminationGracePeriodSeconds=0,
        tolerations=[toleration],
    )


def claim_with_zero_pointers(namespace):
    resources = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": resources}
    return body(CLAIM, namespace, spec=spec)


def policy_with_zero_pointers(namespace):
    peers = [{"podSelector": {}}, {"namespaceSelector": {}}]
    spec = {"podSelector": {}, "ingress": [{"from": peers}], "policyTypes": ["Ingress"]}
    return body(NETWORK_POLICY, namespace, spec=spec)


def owned_config_map(namespace):
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": UNUSED_UID}
    owner = {**reference, "controller": False, "blockOwnerDeletion": False}
    return config_map(namespace, immutable=False, metadata={"ownerReferences": [owner]})


@pytest.mark.parametrize(
    "declare",
    [pod_with_zero_pointers, claim_with_zero_pointers, policy_with_zero_pointers, owned_config_map],
)
def test_a_zero_value_of_a_pointer_is_kept_and_is_not_a_difference(cluster, namespace, declare):
    declared = declare(namespace)
    # A stored object of an owner that does not exist would be collected as garbage.
    applied = cluster.apply(declared, DRY if declare is owned_config_map else OURS)
    kept, found = content(declared), content(applied)
    assert {path: found.get(path) for path in kept} == kept
    schema = merge_schema_for(kind_of(declared))
    assert covers(schema, declared, applied)
    assert find_differences(schema, declared, applied) == ()


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


def test_a_token_is_mounted_unless_the_pod_disables_it(cluster, namespace):
    declared = pod(namespace)
    del declared["spec"]["automountServiceAccountToken"]
    spec = cluster.apply(declared, OURS)["spec"]
    mount = spec["containers"][0]["volumeMounts"][0]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert mount["name"] == spec["volumes"][0]["name"]
    assert cluster.apply(declared, OURS)["spec"] == spec


def test_a_token_that_is_mounted_already_is_not_mounted_again(cluster, namespace):
    place = "/var/run/secrets/kubernetes.io/serviceaccount"
    declared = pod(
        namespace,
        {"volumeMounts": [{"name": "own", "mountPath": place}]},
        volumes=[{"name": "own", "emptyDir": {}}],
    )
    del declared["spec"]["automountServiceAccountToken"]
    spec = cluster.apply(declared, OURS)["spec"]
    assert [mount["name"] for mount in spec["containers"][0]["volumeMounts"]] == ["own"]


def test_a_service_that_is_but_a_name_has_no_address(cluster, namespace):
    spec = {"type": "ExternalName", "externalName": "example.com"}
    applied = cluster.apply(body(SERVICE, namespace, spec=spec), OURS)
    assert applied["spec"].keys() & {"clusterIP", "clusterIPs"} == set()
    spec["externalName"] = "example.org"
    again = cluster.apply(body(SERVICE, namespace, spec=spec), OURS)
    assert again["spec"]["externalName"] == "example.org"


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


@pytest.mark.parametrize("user_ids", ["fixed", "assigned"])
@pytest.mark.parametrize("spec", [{}, EVERY_FIELD], ids=["no field", "every field"])
def test_the_shipped_pod_is_stored_without_a_difference(cluster, namespace, spec, user_ids):
    spec = {**spec, "runner": {**spec.get("runner", {}), "priorityClassName": None}}
    shipped = shipped_bodies(session(spec), userIds=user_ids)["pod"]["spec"]
    declared = pod(namespace, **{**shipped, "serviceAccountName": "default"})
    applied = cluster.apply(declared, OURS)
    schema = merge_schema_for(kind_of(declared))
    assert covers(schema, declared, applied)
    assert find_differences(schema, declared, applied) == ()
