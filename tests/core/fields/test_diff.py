import pytest

from reconcile.core.changes import ABSENT
from reconcile.core.model import FIELD_MANAGER
from tests.builders import (
    body,
    config_map,
    live,
    manage,
    manifest,
    pod,
    service,
)
from tests.core.fields.comparison import ENV_A, ENV_B, POINTER, RUNNER, differ, in_container

AGUI = {"name": "agui", "port": 8001, "protocol": "TCP", "targetPort": "agui"}
WEB = {"name": "web", "port": 80, "protocol": "TCP"}
REMOVALS = {
    "a field": (
        in_container(workingDir="/a"),
        in_container(),
        [(f"{RUNNER}.workingDir", "/a", ABSENT)],
        [{"op": "remove", "path": f"{POINTER}/workingDir"}],
    ),
    "an env entry": (
        in_container(env=[ENV_A, ENV_B]),
        in_container(env=[ENV_B]),
        [(f"{RUNNER}.env[A]", ENV_A, ABSENT)],
        [{"op": "remove", "path": f"{POINTER}/env/0"}],
    ),
    "all env entries": (
        in_container(env=[ENV_A, ENV_B]),
        in_container(),
        [(f"{RUNNER}.env", [ENV_A, ENV_B], ABSENT)],
        [{"op": "remove", "path": f"{POINTER}/env"}],
    ),
    "all env entries, one by one": (
        in_container(env=[ENV_A, ENV_B]),
        in_container(env=[]),
        [(f"{RUNNER}.env[A]", ENV_A, ABSENT), (f"{RUNNER}.env[B]", ENV_B, ABSENT)],
        [
            {"op": "remove", "path": f"{POINTER}/env/1"},
            {"op": "remove", "path": f"{POINTER}/env/0"},
        ],
    ),
    "a port": (
        service(ports=[AGUI, WEB]),
        service(ports=[AGUI]),
        [("spec.ports[port=80,protocol=TCP]", WEB, ABSENT)],
        [{"op": "remove", "path": "/spec/ports/1"}],
    ),
    "a label": (
        pod(metadata={"labels": {"team/a~b": "x"}}),
        pod(),
        [("metadata.labels[team/a~b]", "x", ABSENT)],
        [{"op": "remove", "path": "/metadata/labels/team~1a~0b"}],
    ),
    "an annotation": (
        pod(metadata={"annotations": {"note": "x"}}),
        pod(),
        [("metadata.annotations.note", "x", ABSENT)],
        [{"op": "remove", "path": "/metadata/annotations/note"}],
    ),
    "a subtree": (
        pod(securityContext={"runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}}),
        pod(),
        [
            (
                "spec.securityContext",
                {"runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
                ABSENT,
            )
        ],
        [{"op": "remove", "path": "/spec/securityContext"}],
    ),
    "a part of a subtree": (
        pod(securityContext={"runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}}),
        pod(securityContext={"runAsUser": 1}),
        [("spec.securityContext.seccompProfile", {"type": "RuntimeDefault"}, ABSENT)],
        [{"op": "remove", "path": "/spec/securityContext/seccompProfile"}],
    ),
    "a mount whose path is escaped": (
        in_container(volumeMounts=[{"mountPath": "/a&b", "name": "w"}]),
        in_container(volumeMounts=[]),
        [(f"{RUNNER}.volumeMounts[/a&b]", {"mountPath": "/a&b", "name": "w"}, ABSENT)],
        [{"op": "remove", "path": f"{POINTER}/volumeMounts/0"}],
    ),
    "a finalizer": (
        config_map(metadata={"finalizers": ["x/a", "x/b"]}),
        config_map(metadata={"finalizers": ["x/b"]}),
        [("metadata.finalizers[x/a]", "x/a", ABSENT)],
        [{"op": "remove", "path": "/metadata/finalizers/0"}],
    ),
    "a file": (
        config_map(data={"a": "1", "b": ""}),
        config_map(data={"a": "1"}),
        [("data.b", "", ABSENT)],
        [{"op": "remove", "path": "/data/b"}],
    ),
}


@pytest.mark.parametrize(
    ("before", "after", "found", "operations"), REMOVALS.values(), ids=REMOVALS
)
def test_what_is_no_longer_declared_is_removed_and_nothing_else(before, after, found, operations):
    assert differ(after, live(manifest(before))) == (found, tuple(operations))


CHANGES = {
    "a value": (
        in_container(),
        in_container(image="runner:2"),
        [(f"{RUNNER}.image", "runner:1", "runner:2")],
        [{"op": "replace", "path": f"{POINTER}/image", "value": "runner:2"}],
    ),
    "a value in a keyed list": (
        in_container(env=[ENV_A, ENV_B]),
        in_container(env=[{"name": "B", "value": "x"}, ENV_A]),
        [(f"{RUNNER}.env[B].value", "2", "x")],
        [{"op": "replace", "path": f"{POINTER}/env/1/value", "value": "x"}],
    ),
    "an entry": (
        in_container(env=[ENV_A]),
        in_container(env=[ENV_B, ENV_A]),
        [(f"{RUNNER}.env[B]", ABSENT, ENV_B)],
        [{"op": "add", "path": f"{POINTER}/env/-", "value": ENV_B}],
    ),
    "a first entry": (
        in_container(),
        in_container(env=[ENV_A]),
        [(f"{RUNNER}.env", ABSENT, [ENV_A])],
        [{"op": "add", "path": f"{POINTER}/env", "value": [ENV_A]}],
    ),
    "an entry's key": (
        service(ports=[AGUI]),
        service(ports=[{**AGUI, "port": 8002}]),
        [
            ("spec.ports[port=8002,protocol=TCP]", ABSENT, {**AGUI, "port": 8002}),
            ("spec.ports[port=8001,protocol=TCP]", AGUI, ABSENT),
        ],
        [
            {"op": "add", "path": "/spec/ports/-", "value": {**AGUI, "port": 8002}},
            {"op": "remove", "path": "/spec/ports/0"},
        ],
    ),
    "an atomic list": (
        in_container(args=["a", "b"]),
        in_container(args=["a", "c"]),
        [(f"{RUNNER}.args", ["a", "b"], ["a", "c"])],
        [{"op": "replace", "path": f"{POINTER}/args/1", "value": "c"}],
    ),
    "an atomic list of another length": (
        in_container(args=["a", "b"]),
        in_container(args=["a"]),
        [(f"{RUNNER}.args", ["a", "b"], ["a"])],
        [{"op": "replace", "path": f"{POINTER}/args", "value": ["a"]}],
    ),
    "a finalizer": (
        pod(metadata={"finalizers": ["x/a"]}),
        pod(metadata={"finalizers": ["x/b", "x/a"]}),
        [("metadata.finalizers[x/b]", ABSENT, "x/b")],
        [{"op": "add", "path": "/metadata/finalizers/-", "value": "x/b"}],
    ),
    "a map that was empty": (
        pod(securityContext={}),
        pod(securityContext={"runAsUser": 1}),
        [("spec.securityContext.runAsUser", ABSENT, 1)],
        [{"op": "add", "path": "/spec/securityContext/runAsUser", "value": 1}],
    ),
    "a map that becomes empty": (
        pod(securityContext={"runAsUser": 1}),
        pod(securityContext={}),
        [("spec.securityContext.runAsUser", 1, ABSENT)],
        [{"op": "remove", "path": "/spec/securityContext/runAsUser"}],
    ),
    "a pointer's zero value": (
        pod(),
        pod(automountServiceAccountToken=False),
        [("spec.automountServiceAccountToken", ABSENT, False)],
        [{"op": "add", "path": "/spec/automountServiceAccountToken", "value": False}],
    ),
    "an empty label": (
        pod(),
        pod(metadata={"labels": {"a": ""}}),
        [("metadata.labels.a", ABSENT, "")],
        [{"op": "add", "path": "/metadata/labels/a", "value": ""}],
    ),
    "a quantity": (
        in_container(resources={"limits": {"cpu": "1"}}),
        in_container(resources={"limits": {"cpu": "2"}}),
        [(f"{RUNNER}.resources.limits.cpu", "1", "2")],
        [{"op": "replace", "path": f"{POINTER}/resources/limits/cpu", "value": "2"}],
    ),
    "one kind of value for another": (
        service(selector={"a": "1"}),
        service(selector="a"),
        [("spec.selector", {"a": "1"}, "a")],
        [{"op": "replace", "path": "/spec/selector", "value": "a"}],
    ),
    "nothing but a quantity's wording": (
        in_container(resources={"limits": {"cpu": "1"}}),
        in_container(resources={"limits": {"cpu": "1000m"}}),
        [],
        [],
    ),
    "nothing but a zero value": (pod(), pod(hostNetwork=False), [], []),
    "nothing but a zero value in an entry": (
        in_container(env=[{"name": "A"}]),
        in_container(env=[{"name": "A", "value": ""}]),
        [],
        [],
    ),
    "nothing but the order of entries": (
        in_container(env=[ENV_A, ENV_B]),
        in_container(env=[ENV_B, ENV_A]),
        [],
        [],
    ),
}


@pytest.mark.parametrize(("before", "after", "found", "operations"), CHANGES.values(), ids=CHANGES)
def test_new_and_changed_declarations_are_written(before, after, found, operations):
    assert differ(after, live(manifest(before))) == (found, tuple(operations))


def test_a_selector_that_is_merged_as_a_whole_can_be_emptied():
    before = {"podSelector": {"matchLabels": {"a": "1"}}}
    obj = live(manifest(body("NetworkPolicy", "a", "networking.k8s.io/v1", spec=before)))
    obj = manage(obj, FIELD_MANAGER, {"f:spec": {"f:podSelector": {}}}, operation="Apply")
    after = body("NetworkPolicy", "a", "networking.k8s.io/v1", spec={"podSelector": {}})
    assert differ(after, obj) == (
        [("spec.podSelector", before["podSelector"], {})],
        ({"op": "replace", "path": "/spec/podSelector", "value": {}},),
    )


@pytest.mark.parametrize("kept", [{"podSelector"}, {"ingress"}])
def test_an_empty_label_counts_in_what_is_merged_as_a_whole(kept):
    def policy(**labels):
        selector = {"matchLabels": labels}
        spec = {"podSelector": selector, "ingress": [{"from": [{"podSelector": selector}]}]}
        chosen = {name: spec[name] for name in kept}
        return body("NetworkPolicy", "a", "networking.k8s.io/v1", spec=chosen)

    obj = live(manifest(policy(a="")))
    obj = manage(
        obj, FIELD_MANAGER, {"f:spec": {f"f:{name}": {} for name in kept}}, operation="Apply"
    )
    assert differ(policy(a=""), obj) == ([], ())
    for after in (policy(a="", b=""), policy(b="")):
        found, _ = differ(after, obj)
        assert [path for path, _, _ in found] == [f"spec.{name}" for name in kept]


def test_an_empty_label_counts_in_a_selector_that_is_merged_as_a_whole():
    obj = live(manifest(service(selector={"a": "", "b": "1"})))
    obj = manage(obj, FIELD_MANAGER, {"f:spec": {"f:selector": {}}}, operation="Apply")
    found, _ = differ(service(selector={"b": "1"}), obj)
    assert found == [("spec.selector", {"a": "", "b": "1"}, {"b": "1"})]


def test_ports_without_a_protocol_are_tcp_ports():
    workload = {
        "template": {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}}
    }
    obj = live(manifest(body("Deployment", "a", "apps/v1", spec=workload)))
    assert differ(body("Deployment", "a", "apps/v1", spec=workload), obj) == ([], ())


def test_what_we_own_but_is_gone_needs_no_removal():
    obj = live(manifest(in_container(env=[ENV_A], workingDir="/")))
    del obj["spec"]["containers"][0]["env"]
    del obj["spec"]["containers"][0]["workingDir"]
    assert differ(in_container(), obj) == ([], ())


def test_invalid_items_of_a_keyed_list_are_left_for_the_server_to_refuse():
    obj = live(manifest(in_container(ports=[{"containerPort": 80}])))
    found, _ = differ(in_container(ports=[8080, {"containerPort": {"a": 1}}]), obj)
    assert [path for path, _, after in found if after is not ABSENT] == [
        f"{RUNNER}.ports[containerPort=None,protocol=TCP]",
        f"{RUNNER}.ports[containerPort={{'a': 1}},protocol=TCP]",
    ]
