"""The final form of bodies, their order, and objects that two sessions want."""

import pytest

from reconcile.core.canonical_json import compute_digest
from reconcile.core.manifest import (
    build_desired_session,
    build_manifest,
    build_record_manifest,
    creation_order,
    find_duplicate_objects,
)
from reconcile.core.model import (
    ANNOTATION_DIGEST,
    LABEL_INSTALLATION,
    LABEL_MANAGED_BY,
    LABEL_SESSION,
    Kind,
    SessionState,
)
from tests.core.render.sessions import session


def body(kind="ConfigMap", version="v1", name="fix", **rest):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **rest}


def made(one, who=None):
    return build_manifest(one, who or session(), "default", "a.yaml.j2")


def test_objects_are_created_in_an_order_that_each_can_rely_on():
    names = ["ServiceAccount", "Secret", "ConfigMap", "PersistentVolumeClaim", "NetworkPolicy"]
    names += ["Role", "RoleBinding", "Service", "Widget", "Pod"]
    ranks = [creation_order(Kind("v1", name)) for name in names]
    assert ranks == sorted(set(ranks))


def test_the_record_comes_first_and_the_pod_last():
    manifests = [made(body(kind)) for kind in ("Pod", "Widget", "Service", "ServiceAccount")]
    kinds = [
        one.kind.name for one in build_desired_session(session(), "default", manifests).manifests
    ]
    assert kinds == ["ConfigMap", "ServiceAccount", "Service", "Widget", "Pod"]


def test_the_order_does_not_depend_on_the_templates_names():
    manifests = [made(body(name=name)) for name in ("fix-b", "fix-a")]
    names = [
        one.ref.name for one in build_desired_session(session(), "default", manifests).manifests
    ]
    assert names == ["session-fix", "fix-a", "fix-b"]


def test_only_a_stopped_sessions_pods_are_left_out():
    manifests = [made(body(kind)) for kind in ("Pod", "Service")]
    stopped = session(state=SessionState.STOPPED)
    kinds = [
        one.kind.name for one in build_desired_session(stopped, "default", manifests).manifests
    ]
    assert kinds == ["ConfigMap", "Service"]


def test_a_record_describes_its_session_without_prompt_or_revision():
    one = session({"displayName": "Fix it", "initialPrompt": "secret"})
    record = build_record_manifest(one, "default")
    assert record.body["data"] == {
        "displayName": "Fix it",
        "state": "Running",
    }
    assert "displayName" not in build_record_manifest(session(), "default").body["data"]


def test_every_object_has_the_labels_of_its_session_and_installation():
    who = session(labels={"team": "a", LABEL_MANAGED_BY: "x"}, annotations={"note": "n"})
    metadata = made(body(), who).body["metadata"]
    assert metadata["namespace"] == "team-a"
    assert metadata["labels"] == {
        "team": "a",
        LABEL_INSTALLATION: "default",
        LABEL_SESSION: "fix",
        LABEL_MANAGED_BY: "reconcile",
    }
    assert metadata["annotations"].keys() == {"note", ANNOTATION_DIGEST}


def test_a_templates_labels_win_over_the_sessions():
    one = body()
    one["metadata"] |= {"labels": {"app": "template"}, "annotations": {"app": "template"}}
    who = session(labels={"app": "session"}, annotations={"app": "session"})
    metadata = made(one, who).body["metadata"]
    assert metadata["labels"]["app"] == "template"
    assert metadata["annotations"]["app"] == "template"


def test_the_digest_is_over_all_but_itself():
    manifest = made(body(data={"a": "b"}))
    annotations = manifest.body["metadata"]["annotations"]
    assert annotations.pop(ANNOTATION_DIGEST) == manifest.digest == compute_digest(manifest.body)


def test_bodies_are_copied():
    one = body(data={"a": None})
    made(one)
    assert one == body(data={"a": None})


def test_nulls_are_dropped_from_mappings_at_every_depth():
    one = body("Widget", "x/v1", spec={"a": None, "b": {"c": None}, "d": [{"e": None}, None]})
    assert made(one).body["spec"] == {"b": {}, "d": [{}, None]}


def test_a_secrets_plain_data_is_folded_into_its_data():
    one = body("Secret", data={"a": "eA==", "b": "eA=="}, stringData={"b": "é", "c": "z"})
    secret = made(one).body
    assert "stringData" not in secret
    assert secret["data"] == {"a": "eA==", "b": "w6k=", "c": "eg=="}


@pytest.mark.parametrize("plain", [{}, None])
def test_a_secret_without_plain_data_stays_as_it_is(plain):
    secret = made(body("Secret", stringData=plain, type="Opaque")).body
    assert secret.keys() == {"apiVersion", "kind", "metadata", "type"}


def test_only_a_kubernetes_secret_is_folded():
    assert made(body("Secret", "x/v1", stringData={"a": "b"})).body["stringData"] == {"a": "b"}


@pytest.mark.parametrize(
    ("kind", "version", "spec"),
    [
        ("Service", "v1", {"ports": ["P"]}),
        ("Pod", "v1", {"containers": [{"ports": ["P"]}], "initContainers": [{"ports": ["P"]}]}),
        ("Deployment", "apps/v1", {"template": {"spec": {"containers": [{"ports": ["P"]}]}}}),
        (
            "NetworkPolicy",
            "networking.k8s.io/v1",
            {"ingress": [{"ports": ["P"]}], "egress": [{"ports": ["P"]}]},
        ),
    ],
)
def test_ports_say_their_protocol(kind, version, spec):
    def with_port(value, port):
        if isinstance(value, dict):
            return {key: with_port(item, port) for key, item in value.items()}
        if isinstance(value, list):
            return [with_port(item, port) for item in value]
        return port

    found = made(body(kind, version, spec=with_port(spec, {"port": 1}))).body["spec"]
    wanted = with_port(spec, {"protocol": "TCP", "port": 1})
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize("port", [{"port": 1, "protocol": "UDP"}, 80])
def test_ports_that_say_it_already_stay_as_they_are(port):
    assert made(body("Service", spec={"ports": [port]})).body["spec"]["ports"] == [port]


def test_ports_of_foreign_kinds_stay_as_they_are():
    ports = [{"port": 1}]
    assert made(body("Gateway", "x.io/v1", spec={"ports": ports})).body["spec"]["ports"] == ports


def test_ports_that_are_not_a_list_are_not_changed():
    assert made(body("Service", spec={"ports": "x"})).body["spec"]["ports"] == "x"


def test_sessions_that_want_one_object_are_all_named():
    wanted = [
        build_desired_session(who, "default", [made(body(name="a-b"), who)])
        for who in (session(name="a"), session(name="b"))
    ]
    clashes = find_duplicate_objects(wanted)
    assert {str(one): str(problem) for one, problem in clashes.items()} == {
        "team-a/a": "team-a/a.yaml:1:1: metadata.name: ConfigMap team-a/a-b is wanted by team-a/b "
        "too: rename one of the sessions",
        "team-a/b": "team-a/b.yaml:1:1: metadata.name: ConfigMap team-a/a-b is wanted by team-a/a "
        "too: rename one of the sessions",
    }


def test_sessions_that_want_different_objects_do_not_clash():
    assert (
        find_duplicate_objects(
            [build_desired_session(session(name=name), "default", []) for name in "ab"]
        )
        == {}
    )
