import pytest

from reconcile.core.changes import ABSENT
from reconcile.core.fields.differences import differences
from reconcile.core.fields.operations import json_patch
from reconcile.core.fields.path import show
from reconcile.core.fields.schema import schema_of
from reconcile.core.names import MANAGER
from tests.builders import (
    body,
    co_owned,
    config_map,
    container,
    live,
    manage,
    manifest,
    pod,
    service,
    taken_over,
)
from tests.jsonpatch import patched

ENV_A = {"name": "A", "value": "1"}
ENV_B = {"name": "B", "value": "2"}
AGUI = {"name": "agui", "port": 8001, "protocol": "TCP", "targetPort": "agui"}
WEB = {"name": "web", "port": 80, "protocol": "TCP"}


def in_container(**fields):
    return pod(containers=[container(**fields)])


def in_runner(fields):
    return {"f:spec": {"f:containers": {'k:{"name":"runner"}': fields}}}


def differ(after, obj):
    """The differences and the JSON Patch, both but for the digest."""
    wanted = manifest(after)
    found = [
        each
        for each in differences(schema_of(wanted.kind), wanted.body, obj)
        if "digest" not in show(each.path)
    ]
    return [(show(each.path), each.before, each.after) for each in found], json_patch(found, obj)


RUNNER = "spec.containers[runner]"
POINTER = "/spec/containers/0"
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
def test_what_is_declared_anew_or_otherwise_is_written(before, after, found, operations):
    assert differ(after, live(manifest(before))) == (found, tuple(operations))


def test_a_selector_that_is_merged_as_a_whole_can_be_emptied():
    before = {"podSelector": {"matchLabels": {"a": "1"}}}
    obj = live(manifest(body("NetworkPolicy", "a", "networking.k8s.io/v1", spec=before)))
    obj = manage(obj, MANAGER, {"f:spec": {"f:podSelector": {}}}, operation="Apply")
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
    obj = manage(obj, MANAGER, {"f:spec": {f"f:{name}": {} for name in kept}}, operation="Apply")
    assert differ(policy(a=""), obj) == ([], ())
    for after in (policy(a="", b=""), policy(b="")):
        found, _ = differ(after, obj)
        assert [path for path, _, _ in found] == [f"spec.{name}" for name in kept]


def test_an_empty_label_counts_in_a_selector_that_is_merged_as_a_whole():
    obj = live(manifest(service(selector={"a": "", "b": "1"})))
    obj = manage(obj, MANAGER, {"f:spec": {"f:selector": {}}}, operation="Apply")
    found, _ = differ(service(selector={"b": "1"}), obj)
    assert found == [("spec.selector", {"a": "", "b": "1"}, {"b": "1"})]


def test_ports_without_a_protocol_are_tcp_ports():
    workload = {
        "template": {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}}
    }
    obj = live(manifest(body("Deployment", "a", "apps/v1", spec=workload)))
    assert differ(body("Deployment", "a", "apps/v1", spec=workload), obj) == ([], ())


def test_what_others_have_added_is_no_difference_and_stays():
    obj = live(manifest(in_container(env=[ENV_A, ENV_B])))
    obj["metadata"]["labels"]["theirs"] = "1"
    obj["spec"]["containers"].insert(0, {"name": "proxy", "image": "proxy:1"})
    obj["spec"]["containers"][1]["env"].insert(0, {"name": "THEIRS", "value": "1"})
    obj["spec"]["nodeName"] = "n"
    found, operations = differ(in_container(env=[ENV_B]), obj)
    assert found == [(f"{RUNNER}.env[A]", ENV_A, ABSENT)]
    assert operations == ({"op": "remove", "path": "/spec/containers/1/env/1"},)


def test_what_others_declare_too_is_only_released():
    obj = live(manifest(pod(metadata={"labels": {"a": "1"}}, nodeSelector={"x": "1", "y": "2"})))
    co_owned(
        obj,
        {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:nodeSelector": {"f:x": {}}}},
        operation="Apply",
    )
    found, operations = differ(pod(), obj)
    assert found == [
        ("metadata.labels.a", "1", "1"),
        ("spec.nodeSelector.x", "1", "1"),
        ("spec.nodeSelector.y", "2", ABSENT),
    ]
    assert operations == ({"op": "remove", "path": "/spec/nodeSelector/y"},)


def test_an_entry_that_others_declare_too_loses_only_what_is_ours_alone():
    obj = live(manifest(in_container(env=[ENV_A, ENV_B])))
    theirs = {'k:{"name":"A"}': {".": {}, "f:name": {}}}
    co_owned(obj, in_runner({"f:env": theirs}), operation="Apply")
    found, operations = differ(in_container(env=[ENV_B]), obj)
    assert found == [
        (f"{RUNNER}.env[A].name", "A", "A"),
        (f"{RUNNER}.env[A].value", "1", ABSENT),
    ]
    assert operations == ({"op": "remove", "path": f"{POINTER}/env/0/value"},)


def test_an_entry_in_which_others_have_only_changed_something_goes_all_the_same():
    obj = live(manifest(in_container(env=[ENV_A, ENV_B])))
    obj["spec"]["containers"][0]["env"][0]["value"] = "x"
    taken_over(obj, in_runner({"f:env": {'k:{"name":"A"}': {"f:value": {}}}}))
    assert differ(in_container(env=[ENV_B]), obj) == (
        [(f"{RUNNER}.env[A]", {"name": "A", "value": "x"}, ABSENT)],
        ({"op": "remove", "path": f"{POINTER}/env/0"},),
    )


def test_a_map_that_others_own_as_a_whole_is_released_as_a_whole():
    obj = live(manifest(service(selector={"a": "1"})))
    manage(obj, "reconcile", {"f:spec": {"f:selector": {}}}, operation="Apply")
    co_owned(obj, {"f:spec": {"f:selector": {}}}, operation="Apply")
    without = service()
    del without["spec"]["selector"]
    found, operations = differ(without, obj)
    assert ("spec.selector", {"a": "1"}, {"a": "1"}) in found
    assert operations == ()


def test_an_empty_map_in_which_others_own_something_is_released():
    obj = live(manifest(pod(securityContext={})))
    obj["spec"]["securityContext"]["fsGroup"] = 5
    co_owned(obj, {"f:spec": {"f:securityContext": {"f:fsGroup": {}}}})
    assert differ(pod(), obj) == ([("spec.securityContext", {"fsGroup": 5}, {"fsGroup": 5})], ())


@pytest.mark.parametrize("declared", [{"a": "1"}, {"a": "2"}, {}])
def test_a_map_that_the_server_takes_as_a_whole_is_compared_as_a_whole(declared):
    obj = live(manifest(service(selector={"a": "1"})))
    obj["spec"]["selector"] = {"a": "1", "theirs": "1"}
    taken_over(obj, {"f:spec": {"f:selector": {}}})
    ours = obj["metadata"]["managedFields"][0]["fieldsV1"]
    del ours["f:spec"]["f:selector"]
    assert differ(service(selector=declared), obj) == (
        [("spec.selector", {"a": "1", "theirs": "1"}, declared)],
        ({"op": "replace", "path": "/spec/selector", "value": declared},),
    )


def test_a_map_that_the_server_takes_as_a_whole_may_be_as_declared():
    obj = live(manifest(service(selector={"a": "1"})))
    manage(obj, "reconcile", {"f:spec": {"f:selector": {}}}, operation="Apply")
    found, _ = differ(service(selector={"a": "1"}), obj)
    assert "spec.selector" not in [path for path, _, _ in found]


def test_a_selector_from_a_field_may_be_given_its_version_by_the_server():
    source = {"fieldRef": {"fieldPath": "metadata.name"}}
    declared = in_container(env=[{"name": "A", "valueFrom": source}])
    obj = live(manifest(declared))
    obj["spec"]["containers"][0]["env"][0]["valueFrom"] = {
        "fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}
    }
    manage(
        obj,
        "reconcile",
        in_runner({"f:env": {'k:{"name":"A"}': {"f:valueFrom": {"f:fieldRef": {}}}}}),
        operation="Apply",
    )
    assert differ(declared, obj) == ([], ())


def test_a_map_that_somebody_once_owned_empty_is_not_taken_as_a_whole():
    obj = live(manifest(pod(securityContext={"runAsUser": 1})))
    obj["spec"]["securityContext"]["fsGroup"] = 5
    co_owned(obj, {"f:spec": {"f:securityContext": {}}})
    found, _ = differ(pod(securityContext={"runAsUser": 2}), obj)
    assert found == [("spec.securityContext.runAsUser", 1, 2)]


def test_injected_tolerations_are_neither_shown_nor_a_difference():
    gpu = {"key": "gpu", "operator": "Exists"}
    injected = {"key": "node.kubernetes.io/not-ready", "operator": "Exists"}
    obj = live(manifest(pod(tolerations=[gpu])))
    obj["spec"]["tolerations"].append(injected)
    assert differ(pod(tolerations=[gpu]), obj) == ([], ())
    found, _ = differ(pod(tolerations=[gpu, {"key": "x"}]), obj)
    assert found == [("spec.tolerations", [gpu], [gpu, {"key": "x"}])]


def widget(*items, **spec):
    return body("Widget", "w", "example.com/v1", spec={"items": list(items), **spec})


def test_of_kinds_that_are_not_known_the_server_tells_which_lists_are_keyed():
    obj = live(manifest(widget({"id": "a", "n": 1}, {"id": "b", "n": 2})))
    items = {f'k:{{"id":"{key}"}}': {".": {}, "f:id": {}, "f:n": {}} for key in "ab"}
    manage(obj, "reconcile", {"f:spec": {"f:items": items}}, operation="Apply")
    found, operations = differ(widget({"id": "c"}, {"id": "b", "n": 3}), obj)
    changes = [each for each in found if each[0].startswith("spec.")]
    assert changes == [
        ("spec.items[c]", ABSENT, {"id": "c"}),
        ("spec.items[b].n", 2, 3),
        ("spec.items[a]", {"id": "a", "n": 1}, ABSENT),
    ]
    result = patched(obj, operations)
    assert result["spec"]["items"] == [{"id": "b", "n": 3}, {"id": "c"}]


def test_of_kinds_that_are_not_known_the_server_tells_which_lists_are_sets():
    obj = live(manifest(widget("a", "b")))
    manage(obj, "reconcile", {"f:spec": {"f:items": {'v:"a"': {}, 'v:"b"': {}}}}, operation="Apply")
    found, operations = differ(widget("b", "c"), obj)
    assert ("spec.items[c]", ABSENT, "c") in found
    assert ("spec.items[a]", "a", ABSENT) in found
    assert patched(obj, operations)["spec"]["items"] == ["b", "c"]


def test_of_kinds_that_are_not_known_other_lists_are_taken_as_a_whole():
    obj = live(manifest(widget("a", "b")))
    assert differ(widget("b", "a"), obj)[0] == [("spec.items", ["a", "b"], ["b", "a"])]


def test_what_we_own_but_is_gone_needs_no_removal():
    obj = live(manifest(in_container(env=[ENV_A], workingDir="/")))
    del obj["spec"]["containers"][0]["env"]
    del obj["spec"]["containers"][0]["workingDir"]
    assert differ(in_container(), obj) == ([], ())


def test_nonsense_in_a_keyed_list_is_left_for_the_server_to_refuse():
    obj = live(manifest(in_container(ports=[{"containerPort": 80}])))
    found, _ = differ(in_container(ports=[8080, {"containerPort": {"a": 1}}]), obj)
    assert [path for path, _, after in found if after is not ABSENT] == [
        f"{RUNNER}.ports[containerPort=None,protocol=TCP]",
        f"{RUNNER}.ports[containerPort={{'a': 1}},protocol=TCP]",
    ]
