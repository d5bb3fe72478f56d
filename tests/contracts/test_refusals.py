"""The `Cluster` port: immutable fields, and invalid objects."""

from typing import Any

import pytest

from reconcile.core.errors import InvalidError
from reconcile.core.model import Kind
from tests.contracts.bodies import (
    BINDING,
    CLAIM,
    CONFIG_MAP,
    NETWORK_POLICY,
    OURS,
    POD,
    RBAC,
    ROLE,
    SECRET,
    SERVICE,
    body,
    config_map,
    pod,
    service,
)

BASE = {
    "env": [{"name": "A", "value": "1"}],
    "resources": {"requests": {"cpu": "1"}},
}
TOLERATION = {"key": "a", "operator": "Exists"}
FIXED = {
    "volumes": [{"name": "work", "emptyDir": {}}],
    "activeDeadlineSeconds": 100,
    "tolerations": [TOLERATION],
}

FORBIDDEN = {
    "an env value": ({"env": [{"name": "A", "value": "2"}]}, {}, ("spec",)),
    "an env entry": ({"env": [*BASE["env"], {"name": "B"}]}, {}, ("spec",)),
    "resources": ({"resources": {"requests": {"cpu": "2"}}}, {}, ("spec",)),
    "a command": ({"command": ["x"]}, {}, ("spec",)),
    "the grace period": ({}, {"terminationGracePeriodSeconds": 5}, ("spec",)),
    "the restart policy": ({}, {"restartPolicy": "Never"}, ("spec",)),
    "the volumes": ({}, {"volumes": []}, ("spec",)),
    "the account": ({}, {"serviceAccountName": "other"}, ("spec",)),
    "a longer deadline": ({}, {"activeDeadlineSeconds": 101}, ("spec.activeDeadlineSeconds",)),
    "no deadline": ({}, {"activeDeadlineSeconds": None}, ("spec.activeDeadlineSeconds",)),
    "a toleration less": ({}, {"tolerations": []}, ("spec.tolerations",)),
    "one container more": (
        {},
        {"containers": [*pod("", BASE)["spec"]["containers"], {"name": "b", "image": "c"}]},
        ("spec.containers",),
    ),
    "no image": ({"image": ""}, {}, ("spec.containers[0].image",)),
}


def changed(namespace, container, spec):
    fields = {key: value for key, value in {**FIXED, **spec}.items() if value is not None}
    return pod(namespace, {**BASE, **container}, **fields)


@pytest.mark.parametrize("case", FORBIDDEN)
def test_a_pod_refuses_a_change_and_names_the_field(cluster, namespace, case):
    container, spec, fields = FORBIDDEN[case]
    applied = cluster.apply(changed(namespace, {}, {}), OURS)
    with pytest.raises(InvalidError) as refused:
        cluster.apply(changed(namespace, container, spec), OURS)
    assert set(refused.value.fields) == set(fields)
    assert cluster.get(POD, namespace, "one") == applied


@pytest.mark.parametrize("name", ["livenessProbe", "readinessProbe", "startupProbe"])
def test_an_init_container_has_no_probes(cluster, namespace, name):
    first = {"name": "first", "image": "first:1", name: {"tcpSocket": {"port": 80}}}
    with pytest.raises(InvalidError) as refused:
        cluster.apply(pod(namespace, initContainers=[first]), OURS)
    assert refused.value.fields == (f"spec.initContainers[0].{name}",)


ALLOWED = {
    "an image": ({"image": "registry.example/runner:2"}, {}),
    "a shorter deadline": ({}, {"activeDeadlineSeconds": 99}),
    "a toleration more": ({}, {"tolerations": [TOLERATION, {"key": "b", "operator": "Exists"}]}),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_a_pod_takes_the_changes_that_need_no_new_one(cluster, namespace, case):
    container, spec = ALLOWED[case]
    applied = cluster.apply(changed(namespace, {}, {}), OURS)
    again = cluster.apply(changed(namespace, container, spec), OURS)
    assert again["metadata"]["uid"] == applied["metadata"]["uid"]
    assert again["spec"] != applied["spec"]


def test_a_pod_without_deadline_takes_one(cluster, namespace):
    cluster.apply(pod(namespace), OURS)
    assert cluster.apply(pod(namespace, activeDeadlineSeconds=5), OURS)["spec"][
        "activeDeadlineSeconds"
    ]


ROLE_REF = {"apiGroup": RBAC.partition("/")[0], "kind": "Role", "name": "one"}
CLAIM_SPEC = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}},
}
IMMUTABLE: dict[str, tuple[Kind, dict[str, Any], dict[str, Any]]] = {
    "data": (CONFIG_MAP, {"data": {"a": "1"}, "immutable": True}, {"data": {"a": "2"}}),
    "immutable": (CONFIG_MAP, {"immutable": True}, {"immutable": False}),
    "type": (SECRET, {"type": "a/b"}, {"type": "a/c"}),
    "roleRef": (BINDING, {"roleRef": ROLE_REF}, {"roleRef": {**ROLE_REF, "name": "two"}}),
    "spec": (
        CLAIM,
        {"spec": CLAIM_SPEC},
        {"spec": {**CLAIM_SPEC, "accessModes": ["ReadWriteMany"]}},
    ),
}


@pytest.mark.parametrize("field", IMMUTABLE)
def test_an_immutable_field_is_refused_by_name(cluster, namespace, field):
    kind, before, after = IMMUTABLE[field]
    if kind == BINDING:
        cluster.apply(body(ROLE, namespace), OURS)
        cluster.apply(body(ROLE, namespace, "two"), OURS)
    cluster.apply(body(kind, namespace, **before), OURS)
    with pytest.raises(InvalidError) as refused:
        cluster.apply(body(kind, namespace, **{**before, **after}), OURS)
    assert set(refused.value.fields) == {field}


def test_a_claim_that_is_not_bound_does_not_grow(cluster, namespace):
    cluster.apply(body(CLAIM, namespace, spec=CLAIM_SPEC), OURS)
    more = {**CLAIM_SPEC, "resources": {"requests": {"storage": "2Gi"}}}
    with pytest.raises(InvalidError) as refused:
        cluster.apply(body(CLAIM, namespace, spec=more), OURS)
    assert set(refused.value.fields) == {"spec"}


def test_the_address_of_a_service_is_immutable(cluster, namespace):
    cluster.apply(service(namespace, 80), OURS)
    with pytest.raises(InvalidError) as refused:
        cluster.apply(service(namespace, 80, clusterIP="None"), OURS)
    assert all(field.startswith("spec.clusterIP") for field in refused.value.fields)
    assert refused.value.fields


def test_metadata_of_an_immutable_object_can_change(cluster, namespace):
    cluster.apply(config_map(namespace, data={"a": "1"}, immutable=True), OURS)
    labels = {"labels": {"a": "b"}}
    again = config_map(namespace, data={"a": "1"}, immutable=True, metadata=labels)
    assert cluster.apply(again, OURS)["metadata"]["labels"] == {"a": "b"}


VOLUMES = [{"name": "v", "emptyDir": {}}]
VOLUME_MOUNT = {"name": "v", "mountPath": "/v"}
FIELD = {"fieldPath": "metadata.uid"}

WRONG = {
    "a name": (config_map("", "a_b"), {"metadata.name"}),
    "a long name": (config_map("", "a" * 254), {"metadata.name"}),
    "a label": (config_map("", metadata={"labels": {"a b": "c"}}), {"metadata.labels"}),
    "a long label": (config_map("", metadata={"labels": {"a": "b" * 64}}), {"metadata.labels"}),
    "a key": (config_map("", data={"a/b": "c"}), {"data[a/b]"}),
    "a Service's name": (body(SERVICE, "", "1a", spec=service("", 80)["spec"]), {"metadata.name"}),
    "no ports": (service(""), {"spec.ports"}),
    "two ports without names": (
        body(SERVICE, "", spec={"ports": [{"port": n, "protocol": "TCP"} for n in (1, 2)]}),
        {"spec.ports[0].name", "spec.ports[1].name"},
    ),
    "no containers": (pod("", containers=[]), {"spec.containers"}),
    "no image": (pod("", {"image": ""}), {"spec.containers[0].image"}),
    "a container's name": (pod("", {"name": "A"}), {"spec.containers[0].name"}),
    "no name of a container": (pod("", {"name": ""}), {"spec.containers[0].name"}),
    "an image in spaces": (pod("", {"image": " a "}), {"spec.containers[0].image"}),
    "no name of a variable": (pod("", {"env": [{"name": ""}]}), {"spec.containers[0].env[0].name"}),
    "an annotation": (
        config_map("", metadata={"annotations": {"a b": "c"}}),
        {"metadata.annotations"},
    ),
    "a label's value": (config_map("", metadata={"labels": {"a": "b c"}}), {"metadata.labels"}),
    "a claim without access mode": (
        body(CLAIM, "", spec={"resources": CLAIM_SPEC["resources"]}),
        {"spec.accessModes"},
    ),
    "a port": (
        pod("", {"ports": [{"containerPort": 65536, "protocol": "TCP"}]}),
        {"spec.containers[0].ports[0].containerPort"},
    ),
    "a variable": (pod("", {"env": [{"name": "a b"}]}), {"spec.containers[0].env[0].name"}),
    "a mount of nothing": (
        pod("", {"volumeMounts": [{"name": "x", "mountPath": "/x"}]}),
        {"spec.containers[0].volumeMounts[0].name"},
    ),
    "a folder of a volume outside of it": (
        pod("", {"volumeMounts": [VOLUME_MOUNT | {"subPath": "../a"}]}, volumes=VOLUMES),
        {"spec.containers[0].volumeMounts.subPath"},
    ),
    "a folder of a volume from the root": (
        pod("", {"volumeMounts": [VOLUME_MOUNT | {"subPath": "/a"}]}, volumes=VOLUMES),
        {"spec.containers[0].volumeMounts.subPath"},
    ),
    "a source that is no field": (
        pod("", {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.a"}}}]}),
        {"spec.containers[0].env[0].valueFrom.fieldRef.fieldPath"},
    ),
    "two sources of a variable": (
        pod("", {"env": [{"name": "A", "value": "b", "valueFrom": {"fieldRef": FIELD}}]}),
        {"spec.containers[0].env[0].valueFrom"},
    ),
    "more than the limit": (
        pod("", {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}),
        {"spec.containers[0].resources.requests"},
    ),
    "a restart policy": (pod("", restartPolicy="Maybe"), {"spec.restartPolicy"}),
    "a policy type": (
        body(NETWORK_POLICY, "", spec={"podSelector": {}, "policyTypes": ["Sideways"]}),
        {"spec.policyTypes[0]"},
    ),
    "a claim without size": (
        body(CLAIM, "", spec={"accessModes": ["ReadWriteOnce"]}),
        {"spec.resources[storage]"},
    ),
    "an owner without name": (
        config_map(
            "",
            metadata={
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "", "uid": "u"}]
            },
        ),
        {"metadata.ownerReferences.name"},
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_impossible_value_is_refused_by_name(cluster, namespace, case):
    wrong, fields = WRONG[case]
    wrong = {**wrong, "metadata": {**wrong["metadata"], "namespace": namespace}}
    with pytest.raises(InvalidError) as refused:
        cluster.apply(wrong, OURS)
    assert set(refused.value.fields) == fields


UNTYPED: dict[str, dict[str, Any]] = {
    "a field that is not in the schema": {"dat": {"a": "b"}},
    "a number where text belongs": {"data": {"a": 1}},
}


@pytest.mark.parametrize("case", UNTYPED)
def test_what_does_not_fit_the_schema_is_invalid(cluster, namespace, case):
    with pytest.raises(InvalidError):
        cluster.apply(config_map(namespace, **UNTYPED[case]), OURS)


def test_two_items_with_one_key_are_invalid(cluster, namespace):
    twice = pod(namespace, {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})
    with pytest.raises(InvalidError):
        cluster.apply(twice, OURS)
