import pytest

from reconcile.core.fields.diff import covers
from reconcile.core.fields.merge_schema import UNKNOWN, merge_schema_for
from reconcile.core.model import Kind
from tests.builders import body, config_map, container, manifest, pod, service

INJECTED = [
    {"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": "NoExecute"}
    for name in ("not-ready", "unreachable")
]
GPU = {"key": "gpu", "operator": "Exists"}


def schema(obj):
    return merge_schema_for(Kind(obj["apiVersion"], obj["kind"]))


def in_container(**fields):
    return pod(containers=[container(**fields)])


def policy(**peer):
    spec = {"podSelector": {"matchLabels": {"a": "1"}}, "ingress": [{"from": [peer]}]}
    return body("NetworkPolicy", "p", "networking.k8s.io/v1", spec=spec)


def account(**fields):
    return body("ServiceAccount", "a", **fields)


def claim(storage):
    return body(
        "PersistentVolumeClaim", "c", spec={"resources": {"requests": {"storage": storage}}}
    )


COVERED = {
    "equal": (pod(), pod()),
    "fields of others": (pod(), pod(metadata={"labels": {"a": "1"}}, nodeName="n")),
    "env in another order": (
        in_container(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]),
        in_container(env=[{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]),
    ),
    "env of others": (
        in_container(env=[{"name": "A", "value": "1"}]),
        in_container(env=[{"name": "X"}, {"name": "A", "value": "1"}]),
    ),
    "an empty value": (
        in_container(env=[{"name": "A", "value": ""}]),
        in_container(env=[{"name": "A"}]),
    ),
    "no env at all": (in_container(env=[]), in_container()),
    "ports with the protocol filled in": (
        in_container(ports=[{"containerPort": 80}]),
        in_container(ports=[{"containerPort": 80, "protocol": "TCP"}]),
    ),
    "containers, volumes and mounts of others": (
        pod(containers=[container()], volumes=[{"name": "w", "emptyDir": {}}]),
        pod(
            containers=[
                {"name": "proxy"},
                container(volumeMounts=[{"mountPath": "/var/run/token", "name": "t"}]),
            ],
            volumes=[{"name": "t"}, {"name": "w", "emptyDir": {}}],
        ),
    ),
    "secrets of a service account": (
        account(secrets=[{"name": "a"}]),
        account(secrets=[{"name": "token"}, {"name": "a"}]),
    ),
    "quantities by value": (
        in_container(resources={"limits": {"cpu": "1000m", "memory": "1024Mi"}}),
        in_container(resources={"limits": {"cpu": "1", "memory": "1Gi"}}),
    ),
    "storage by value": (claim("1024Mi"), claim("1Gi")),
    "a size limit by value": (
        pod(volumes=[{"name": "w", "emptyDir": {"sizeLimit": "1024Mi"}}]),
        pod(volumes=[{"name": "w", "emptyDir": {"sizeLimit": "1Gi"}}]),
    ),
    "zero values that the server drops": (
        pod(hostNetwork=False, hostIPC=False, nodeSelector={}, args=[]),
        pod(),
    ),
    "finalizers of others": (
        pod(metadata={"finalizers": ["b"]}),
        pod(metadata={"finalizers": ["a", "b"]}),
    ),
    "injected tolerations": (pod(tolerations=[GPU]), pod(tolerations=[GPU, *INJECTED])),
    "an injected toleration that is declared too": (
        pod(tolerations=[INJECTED[1]]),
        pod(tolerations=INJECTED),
    ),
    "defaults inside an atomic list": (
        policy(podSelector={}),
        body(
            "NetworkPolicy",
            "p",
            "networking.k8s.io/v1",
            spec={
                "podSelector": {"matchLabels": {"a": "1"}},
                "ingress": [{"from": [{"podSelector": {}}], "ports": []}],
                "policyTypes": ["Ingress"],
            },
        ),
    ),
    "no port": (service(ports=[]), service(ports=[])),
}


@pytest.mark.parametrize(("declared", "live"), COVERED.values(), ids=COVERED)
def test_what_is_there_is_covered(declared, live):
    assert covers(schema(declared), declared, live)


DIFFERENT = {
    "a field that is missing": (pod(nodeName="n"), pod()),
    "another image": (pod(), in_container(image="runner:2")),
    "an env entry that is missing": (in_container(env=[{"name": "A"}]), in_container(env=[])),
    "an env entry with another value": (
        in_container(env=[{"name": "A", "value": "1"}]),
        in_container(env=[{"name": "A", "value": "2"}]),
    ),
    "a port of another protocol": (
        in_container(ports=[{"containerPort": 80}]),
        in_container(ports=[{"containerPort": 80, "protocol": "UDP"}]),
    ),
    "a list that is none": (in_container(env=[{"name": "A"}]), in_container(env={"A": 1})),
    "a declared list that is none": (in_container(env={"A": 1}), in_container(env=[{"name": "A"}])),
    "a map that is none": (service(selector={"a": "1"}), service(selector="a=1")),
    "a declared map that is none": (service(selector="a=1"), service(selector={"a": "1"})),
    "a declared map that is a number": (service(selector=5), service(selector={"a": "1"})),
    "nonsense in a keyed list": (
        in_container(ports=[8080]),
        in_container(ports=[{"containerPort": 8080, "protocol": "TCP"}]),
    ),
    "nonsense as a key": (
        in_container(env=[{"name": {"a": 1}}]),
        in_container(env=[{"name": "a"}]),
    ),
    "another quantity": (claim("1Gi"), claim("2Gi")),
    "a token that is not wanted": (
        account(automountServiceAccountToken=False),
        account(),
    ),
    "a token that is mounted": (
        pod(automountServiceAccountToken=False),
        pod(automountServiceAccountToken=True),
    ),
    "a finalizer that is missing": (
        pod(metadata={"finalizers": ["b"]}),
        pod(metadata={"finalizers": []}),
    ),
    "finalizers that are none": (
        pod(metadata={"finalizers": ["b"]}),
        pod(metadata={"finalizers": "b"}),
    ),
    "one toleration too many": (pod(tolerations=[GPU]), pod(tolerations=[GPU, {"key": "x"}])),
    "tolerations that are none": (pod(tolerations=[GPU]), pod(tolerations="x")),
    "an atomic list in another order": (pod(args=["a", "b"]), pod(args=["b", "a"])),
    "a selector that may be atomic": (
        service(selector={"a": "1"}),
        service(selector={"a": "1", "b": "2"}),
    ),
    "pods of another namespace": (policy(podSelector={}), policy(namespaceSelector={})),
    "an empty label": (pod(metadata={"labels": {"a": ""}}), pod(metadata={"labels": {}})),
    "an empty file": (config_map(data={"a": ""}), config_map(data={})),
    "a container that is missing": (pod(), pod(containers=[{"name": "proxy"}])),
}


@pytest.mark.parametrize(("declared", "live"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_is_not_there_is_not_covered(declared, live):
    assert not covers(schema(declared), declared, live)


def test_what_is_not_known_is_taken_entry_by_entry_and_lists_as_a_whole():
    declared = {"a": {"b": [{"name": "x"}]}}
    assert covers(UNKNOWN, declared, {"a": {"b": [{"name": "x"}], "c": 1}})
    assert not covers(UNKNOWN, declared, {"a": {"b": [{"name": "x"}, {"name": "y"}]}})


def test_a_removed_field_is_seen_by_the_digest():
    before = manifest(pod(nodeSelector={"a": "1"}))
    after = manifest(pod())
    assert not covers(schema(after.body), after.body, before.body)
