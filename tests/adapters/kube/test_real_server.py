"""The adapter with a real API server; the suite of the port is in contracts/."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from reconcile.adapters.kube import cluster as cluster_module
from reconcile.adapters.kube.connect import connect
from reconcile.adapters.kube.discovery import WELL_KNOWN, ApiResource
from reconcile.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from reconcile.core.model import Kind, ObjectRef
from reconcile.engine.ports import ApplyOptions
from tests.controlplane.server import running

pytestmark = pytest.mark.cluster
CONFIG_MAP = Kind("v1", "ConfigMap")
OURS, OTHERS = ApplyOptions("reconcile"), ApplyOptions('the "other" one')
STRANGER_UID = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with running(tmp_path_factory.mktemp("kube"), controller_manager=False) as plane:
        yield plane


@pytest.fixture
def namespace(plane):
    return plane.fresh_namespace("kube")


@pytest.fixture
def cluster(plane):
    made = connect(str(plane.kubeconfig("admin")), None)
    yield made
    made.close()


def config_map(namespace, name="one", value="1", **metadata):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": {"key": value},
    }


def ref(namespace, name="one"):
    return ObjectRef("", "ConfigMap", namespace, name)


def test_each_call_is_one_request_under_our_user_agent(plane, cluster, namespace):
    mark = plane.audit().mark()
    cluster.apply(config_map(namespace), OURS)
    list(cluster.list(CONFIG_MAP, namespace, {}))
    with pytest.raises(NotFoundError):
        cluster.get(CONFIG_MAP, namespace, "absent")
    events = plane.audit().since(mark, user="admin")
    assert [(event.verb, event.code) for event in events] == [
        ("patch", 201),
        ("list", 200),
        ("get", 404),
    ]
    assert events[0].user_agent.startswith("reconcile/")


def served(plane, version):
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    entries = plane.request("GET", root).json().get("resources", [])
    return {
        Kind(version, entry["kind"]): ApiResource(entry["name"], entry["namespaced"])
        for entry in entries
        if "/" not in entry["name"]
    }


def test_the_table_of_kinds_agrees_with_discovery(plane):
    versions = {kind.api_version for kind in WELL_KNOWN}
    found = {
        kind: resource
        for version in versions
        for kind, resource in served(plane, version).items()
        if kind in WELL_KNOWN
    }
    assert found == {kind: WELL_KNOWN[kind] for kind in found}
    assert len(found) >= 20


def test_a_list_reads_all_pages(plane, cluster, namespace, monkeypatch):
    monkeypatch.setattr(cluster_module, "PAGE_SIZE", 3)
    labels = {"a.example/x": "1", "b": "2"}
    with ThreadPoolExecutor(4) as pool:
        bodies = [config_map(namespace, f"n-{number}", labels=labels) for number in range(8)]
        list(pool.map(lambda body: cluster.apply(body, OURS), bodies))
    cluster.apply(config_map(namespace, "other"), OURS)
    mark = plane.audit().mark()
    found = list(cluster.list(CONFIG_MAP, namespace, labels))
    assert [one["metadata"]["name"] for one in found] == [f"n-{number}" for number in range(8)]
    assert {(one["apiVersion"], one["kind"], one["data"]["key"]) for one in found} == {
        ("v1", "ConfigMap", "1")
    }
    assert len(plane.audit().since(mark, user="admin")) == 3
    names = {one["metadata"]["name"] for one in cluster.metadata(CONFIG_MAP, namespace)}
    assert names >= {"other", *(f"n-{number}" for number in range(8))}


def test_metadata_has_no_more_than_metadata(cluster, namespace):
    cluster.apply(config_map(namespace), OURS)
    found = {one["metadata"]["name"]: one for one in cluster.metadata(CONFIG_MAP, namespace)}
    assert set(found["one"]) == {"apiVersion", "kind", "metadata"}
    assert found["one"]["kind"] == "ConfigMap"
    assert found["one"]["metadata"]["managedFields"]


@pytest.mark.parametrize("preconditions", [("uid",), ("resourceVersion",)])
def test_what_is_there_is_changed_under_its_own_identity_only(cluster, namespace, preconditions):
    live = cluster.apply(config_map(namespace), OURS)["metadata"]
    fitting = {key: live[key] for key in preconditions}
    assert cluster.apply(config_map(namespace, value="2", **fitting), OURS)["data"]["key"] == "2"
    stale = {"uid": STRANGER_UID, "resourceVersion": live["resourceVersion"]}
    with pytest.raises(ConflictError):
        cluster.apply(
            config_map(namespace, value="3", **{key: stale[key] for key in preconditions}), OURS
        )
    assert cluster.get(CONFIG_MAP, namespace, "one")["data"]["key"] == "2"


@pytest.mark.parametrize(
    "precondition",
    [
        {"uid": STRANGER_UID},
        {"resourceVersion": "1"},
        {"uid": STRANGER_UID, "resourceVersion": "1"},
    ],
)
def test_what_is_gone_is_not_created_under_another_identity(cluster, namespace, precondition):
    with pytest.raises(ConflictError):
        cluster.apply(config_map(namespace, **precondition), OURS)
    with pytest.raises(NotFoundError):
        cluster.get(CONFIG_MAP, namespace, "one")


def test_a_uid_that_is_sent_is_no_field_of_ours(cluster, namespace):
    live = cluster.apply(config_map(namespace), OURS)["metadata"]
    again = cluster.apply(config_map(namespace, uid=live["uid"]), OURS)["metadata"]
    assert again["managedFields"] == live["managedFields"]
    assert again["resourceVersion"] == live["resourceVersion"]


def test_a_conflict_names_manager_and_field_and_force_takes_over(cluster, namespace):
    cluster.apply(config_map(namespace), OTHERS)
    with pytest.raises(ConflictError) as caught:
        cluster.apply(config_map(namespace, value="2"), OURS)
    [owner] = caught.value.owners
    assert (owner.manager, owner.field) == ('the "other" one', ".data.key")
    forced = cluster.apply(config_map(namespace, value="2"), ApplyOptions("reconcile", force=True))
    assert forced["data"]["key"] == "2"


def test_a_dry_run_changes_nothing(cluster, namespace):
    dry = ApplyOptions("reconcile", dry_run=True)
    assert cluster.apply(config_map(namespace), dry)["metadata"]["uid"]
    with pytest.raises(NotFoundError):
        cluster.get(CONFIG_MAP, namespace, "one")
    cluster.apply(config_map(namespace), OURS)
    assert cluster.apply(config_map(namespace, value="2"), dry)["data"]["key"] == "2"
    assert cluster.get(CONFIG_MAP, namespace, "one")["data"]["key"] == "1"


@pytest.mark.parametrize("uid", [STRANGER_UID, ""])
def test_only_the_object_that_is_meant_is_deleted(cluster, namespace, uid):
    live = cluster.apply(config_map(namespace), OURS)["metadata"]
    with pytest.raises(ConflictError):
        cluster.delete(CONFIG_MAP, ref(namespace), uid)
    cluster.delete(CONFIG_MAP, ref(namespace), live["uid"])
    with pytest.raises(NotFoundError):
        cluster.delete(CONFIG_MAP, ref(namespace), live["uid"])


def test_an_absent_namespace_has_nothing_and_takes_nothing(cluster):
    assert list(cluster.list(CONFIG_MAP, "absent", {})) == []
    assert list(cluster.metadata(CONFIG_MAP, "absent")) == []
    with pytest.raises(NotFoundError, match='namespaces "absent" not found'):
        cluster.apply(config_map("absent"), OURS)


@pytest.mark.parametrize("version", ["absent.example/v1", "apps/v1", "v1"])
def test_a_kind_that_is_not_served_has_nothing_and_takes_nothing(cluster, namespace, version):
    kind = Kind(version, "Absent")
    assert list(cluster.list(kind, namespace, {})) == []
    assert list(cluster.metadata(kind, namespace)) == []
    with pytest.raises(NotFoundError, match=f"Absent: .* does not serve it in {version}"):
        cluster.get(kind, namespace, "one")
    body = {**config_map(namespace), "apiVersion": version, "kind": "Absent"}
    with pytest.raises(NotFoundError, match="Absent"):
        cluster.apply(body, OURS)


def test_a_kind_outside_the_table_is_discovered(cluster):
    review = Kind("authorization.k8s.io/v1", "LocalSubjectAccessReview")
    path = cluster._rest_mapper.path(review, "team-a")
    assert path == "/apis/authorization.k8s.io/v1/namespaces/team-a/localsubjectaccessreviews"


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"data": {"b b": "x"}}, ("data[b b]",)),
        ({"metadata": {"name": "A_B"}}, ("metadata.name",)),
        ({"data": {"key": 3}}, ()),
        ({"dato": {}}, ()),
    ],
)
def test_a_refused_object_is_invalid_and_not_tried_again(cluster, namespace, change, fields):
    body = {**config_map(namespace), **change}
    body["metadata"] = {**body["metadata"], "namespace": namespace}
    with pytest.raises(InvalidError) as caught:
        cluster.apply(body, OURS)
    assert caught.value.fields == fields


def test_an_immutable_field_is_named_and_the_spec_is_not_shown(cluster, namespace):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": "i", "command": ["canary"]}]},
    }
    cluster.apply(pod, OURS)
    pod["spec"]["containers"][0]["command"] = ["other"]
    with pytest.raises(InvalidError) as caught:
        cluster.apply(pod, OURS)
    assert caught.value.fields == ("spec",)
    assert "canary" not in str(caught.value)


def test_a_user_without_permission_gets_a_forbidden_error(plane, namespace):
    unprivileged = connect(str(plane.kubeconfig("stranger")), None)
    with pytest.raises(ForbiddenError, match=r'list ConfigMap .* User "stranger" cannot list'):
        list(unprivileged.list(CONFIG_MAP, namespace, {}))
    unprivileged.close()
