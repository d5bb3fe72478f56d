"""The requests of each method of the port, and the results from the responses."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.kube import transport
from reconcile.core.errors import (
    ClusterError,
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from reconcile.core.model import LABEL_INSTALLATION, LABEL_SESSION, Kind, ObjectRef, Policy
from reconcile.engine.live_reader import read_live_state
from reconcile.engine.ports import ApplyOptions
from reconcile.engine.status import read_status
from tests.adapters.kube.fakes import URL, FakeServer, Reply, status, talking_to
from tests.builders import INSTALLATION, desired
from tests.clocks import FakeClock

POD, CONFIG_MAP = Kind("v1", "Pod"), Kind("v1", "ConfigMap")
REF = ObjectRef("", "ConfigMap", "team-a", "one")
OPTIONS = ApplyOptions("reconcile")
BODY: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "one", "namespace": "team-a"},
    "data": {"key": "välue"},
}

LIVE = {**BODY, "metadata": {**BODY["metadata"], "uid": "u-1"}}


LABELS = {"a.example/x": "1", "b": "2"}


def item(name, **metadata):
    known = {
        "name": name,
        "namespace": "team-a",
        "uid": f"u-{name}",
        "resourceVersion": "1",
        "labels": LABELS,
    }
    return {"metadata": {**known, **metadata}}


def page(*names, token=None):
    items = [item(name) for name in names]
    return Reply(body={"kind": "PodList", "metadata": {"continue": token}, "items": items})


def names(objects):
    return [one["metadata"]["name"] for one in objects]


def test_a_list_is_paged_and_selects_by_label():
    server = FakeServer(page("a", "b", token="next/="), page("c"))
    cluster = talking_to(server)
    found = list(cluster.list(POD, "team-a", {"b": "2", "a.example/x": "1"}))
    assert names(found) == ["a", "b", "c"]
    assert {(one["apiVersion"], one["kind"]) for one in found} == {("v1", "Pod")}
    assert [seen.path for seen in server.seen] == ["/api/v1/namespaces/team-a/pods"] * 2
    query = {"labelSelector": "a.example/x=1,b=2", "limit": "500"}
    assert [seen.query for seen in server.seen] == [query, {**query, "continue": "next/="}]


def test_a_page_of_large_objects_is_asked_for_in_smaller_parts(monkeypatch):
    monkeypatch.setattr(transport, "MAX_RESPONSE", 2000)
    large = Reply(body=b"{" + b" " * 3000)
    server = FakeServer(large, large, page("a", token="next"), large, page("b"))
    assert names(talking_to(server).list(POD, "team-a", {})) == ["a", "b"]
    limits = [(seen.query["limit"], seen.query.get("continue")) for seen in server.seen]
    assert limits == [("500", None), ("125", None), ("31", None), ("31", "next"), ("7", "next")]


def test_an_object_that_is_too_large_by_itself_is_an_error(monkeypatch):
    monkeypatch.setattr(transport, "MAX_RESPONSE", 2000)
    server = FakeServer(Reply(body=b"{" + b" " * 3000))
    with pytest.raises(ClusterError, match="more than 2000 bytes"):
        list(talking_to(server).list(POD, "team-a", {}))
    assert server.seen[-1].query["limit"] == "1"


def test_a_page_is_fetched_only_when_it_is_needed():
    server = FakeServer(page("a", token="more"), page("b"))
    objects = talking_to(server).list(POD, "team-a", {})
    assert server.seen == []
    assert next(objects)["metadata"]["name"] == "a"
    assert len(server.seen) == 1


def test_a_list_without_labels_and_namespace_asks_for_everything():
    server = FakeServer(page())
    assert list(talking_to(server).list(POD, "", {})) == []
    assert (server.seen[0].path, server.seen[0].query) == ("/api/v1/pods", {"limit": "500"})


@pytest.mark.parametrize("body", [{"items": None}, {"items": [], "metadata": None}])
def test_a_list_of_nothing_may_be_null(body):
    server = FakeServer(Reply(body={"kind": "PodList", **body}))
    assert list(talking_to(server).list(POD, "team-a", {})) == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        b"null",
        {"items": [], "total": 0},
        {"kind": "Status", "items": []},
        {"kind": "PodList"},
        {"kind": "PodList", "items": "x"},
        {"kind": "PodList", "items": {}},
        {"kind": "PodList", "items": ["x"]},
        {"kind": "PodList", "items": [{"metadata": None}]},
        {"kind": "PodList", "items": [{"metadata": {"name": "a"}}]},
        {"kind": "PodList", "items": [{"metadata": {"name": 1, "uid": "u"}}]},
        {"kind": "NodeList", "items": []},
        {"kind": "APIResourceList", "items": []},
        {"kind": "PodList", "items": [], "metadata": "x"},
        {"kind": "PodList", "items": [], "metadata": ["x"]},
        {"kind": "PodList", "items": [], "metadata": {"continue": 5}},
    ],
)
def test_a_response_that_is_not_a_list_is_not_an_empty_list(body):
    with pytest.raises(UnavailableError, match="list Pod in team-a: the response is not a"):
        list(talking_to(FakeServer(Reply(body=body))).list(POD, "team-a", {}))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
SHAPED_FIELDS = st.sampled_from(
    [
        ("metadata", name)
        for name in (
            "name",
            "namespace",
            "uid",
            "labels",
            "annotations",
            "creationTimestamp",
            "deletionTimestamp",
            "finalizers",
            "managedFields",
            "ownerReferences",
            "resourceVersion",
        )
    ]
    + [(name,) for name in ("metadata", "data", "spec", "status")]
)


OURS = {LABEL_INSTALLATION: INSTALLATION, LABEL_SESSION: "one"}


@given(SHAPED_FIELDS, JSON_VALUES, st.sampled_from(["session-one", "x", "reconcile-inventory-x"]))
def test_an_object_of_a_wrong_shape_is_refused_or_read(place, value, name):
    body = {**item(name, labels=OURS), "data": {}, "spec": {}, "status": {}}
    (body if len(place) == 1 else body["metadata"])[place[-1]] = value

    def answer():
        return Reply(body={"kind": "List", "items": [body]})

    cluster = talking_to(FakeServer(answer))
    state = desired(policy=Policy(namespaces=frozenset({"team-a"})))
    read_live_state(cluster, state, {})
    read_status(cluster, FakeClock(), state, ["team-a"])


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"namespace": "kube-system"}, "has objects of another namespace"),
        ({"namespace": None}, "has objects of another namespace"),
        ({"labels": None}, "has objects without the labels"),
        ({"labels": {**LABELS, "b": "3"}}, "has objects without the labels"),
    ],
)
def test_objects_that_were_not_asked_for_are_refused(metadata, reason):
    answer = Reply(body={"kind": "PodList", "items": [item("a"), item("b", **metadata)]})
    with pytest.raises(UnavailableError, match=reason):
        list(talking_to(FakeServer(answer)).list(POD, "team-a", LABELS))


def test_a_page_that_comes_again_is_not_read_for_ever():
    server = FakeServer(page("a", token="x"), page("b", token="y"), page("c", token="x"))
    with pytest.raises(UnavailableError, match="sends the same page again"):
        list(talking_to(server).list(POD, "team-a", {}))


@pytest.mark.parametrize("kind", [POD, Kind("policy/v1", "PodDisruptionBudget")])
def test_another_object_that_is_missing_is_not_an_empty_list(kind):
    message = 'clusters.management.cattle.io "c-typo" not found'
    answer = status(404, "NotFound", message, name="c-typo", kind="clusters")
    cluster = talking_to(FakeServer(answer), url=f"{URL}/k8s/clusters/c-typo")
    for request in (cluster.list(kind, "team-a", {}), cluster.metadata(kind, "team-a")):
        with pytest.raises(ClusterError, match="check the path of the server's URL") as caught:
            list(request)
        assert not isinstance(caught.value, NotFoundError)


def test_a_page_that_expired_in_between_is_unavailable():
    gone = status(410, "Expired", "The provided continue parameter is too old")
    objects = talking_to(FakeServer(page("a", token="old"), gone)).list(POD, "team-a", {})
    next(objects)
    with pytest.raises(UnavailableError, match="410 Expired: The provided continue"):
        next(objects)


@pytest.mark.parametrize(
    "answer",
    [
        Reply(404, b"404 page not found\n", {"Content-Type": "text/plain"}),
        status(404, "NotFound", "the server could not find the requested resource"),
    ],
)
def test_a_kind_that_is_not_served_has_no_objects(answer):
    kind = Kind("policy/v1", "PodDisruptionBudget")
    assert list(talking_to(FakeServer(answer)).list(kind, "team-a", {})) == []
    assert list(talking_to(FakeServer(answer)).metadata(kind, "team-a")) == []
    with pytest.raises(NotFoundError, match="the server does not serve this kind"):
        talking_to(FakeServer(answer)).get(kind, "team-a", "one")


@pytest.mark.parametrize("url", [URL, f"{URL}/k8s/clusters/c-typo"])
@pytest.mark.parametrize("kind", [POD, CONFIG_MAP, Kind("networking.k8s.io/v1", "NetworkPolicy")])
@pytest.mark.parametrize(
    "answer",
    [
        Reply(404, b"404 page not found\n", {"Content-Type": "text/plain"}),
        Reply(404, b"<html>not found</html>", {"Content-Type": "text/html"}),
        Reply(404, {"error": "no such route"}),
        status(404, "NotFound", "the server could not find the requested resource"),
    ],
)
def test_what_does_not_serve_the_common_kinds_is_not_an_empty_cluster(answer, kind, url):
    cluster = talking_to(FakeServer(answer), url=url)
    for request in (
        lambda: list(cluster.list(kind, "team-a", {})),
        lambda: list(cluster.metadata(kind, "team-a")),
        lambda: cluster.get(kind, "team-a", "one"),
        lambda: cluster.delete(kind, replace(REF, kind=kind.name, group=kind.group), "u-1"),
    ):
        with pytest.raises(ClusterError, match="404") as caught:
            request()
        assert not isinstance(caught.value, NotFoundError)


@pytest.mark.parametrize("body", [{}, {"ok": True}, {"metadata": {}}, {"metadata": {"name": "a"}}])
def test_a_response_that_is_not_an_object_is_not_taken_for_one(body):
    cluster = talking_to(FakeServer(Reply(body=body)))
    with pytest.raises(UnavailableError, match="get Pod team-a/one: the response is not an object"):
        cluster.get(POD, "team-a", "one")
    with pytest.raises(UnavailableError, match="the response is not an object of Kubernetes"):
        cluster.apply({**BODY, "metadata": {"name": "one", "namespace": "team-a"}}, OPTIONS)


def test_a_404_that_vanishes_in_the_middle_of_a_list_is_not_its_end():
    late = status(404, "NotFound", "gone")
    with pytest.raises(NotFoundError):
        list(talking_to(FakeServer(page("a", token="more"), late)).list(POD, "team-a", {}))


def test_metadata_alone_is_asked_for_and_carries_the_real_kind():
    partial = {
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": {"name": "a", "namespace": "team-a", "uid": "1"},
        "spec": {"from": "a server that does not know the form"},
    }
    server = FakeServer(
        Reply(body={"kind": "List", "metadata": {"continue": "x"}, "items": [partial]}), page()
    )
    found = list(talking_to(server).metadata(POD, "team-a"))
    assert found == [
        {"apiVersion": "v1", "kind": "Pod", "metadata": partial["metadata"]},
    ]
    accept = server.seen[1].headers["Accept"]
    assert accept.split(",") == [
        f"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v={version}"
        for version in ("v1", "v1beta1")
    ]


def test_get_returns_the_object():
    server = FakeServer(Reply(body=LIVE))
    assert talking_to(server).get(CONFIG_MAP, "team-a", "one") == LIVE
    assert server.seen[0].path == "/api/v1/namespaces/team-a/configmaps/one"
    assert server.seen[0].body == b""
    assert "Content-Type" not in server.seen[0].headers


@pytest.mark.parametrize(
    ("options", "query"),
    [
        (OPTIONS, {"force": "false"}),
        (ApplyOptions("reconcile", force=True, dry_run=True), {"force": "true", "dryRun": "All"}),
    ],
)
def test_an_apply_is_a_server_side_apply(options, query):
    server = FakeServer(Reply(201, LIVE))
    assert talking_to(server).apply(BODY, options) == LIVE
    [seen] = server.seen
    assert (seen.method, seen.path) == ("PATCH", "/api/v1/namespaces/team-a/configmaps/one")
    assert seen.query == {"fieldManager": "reconcile", "fieldValidation": "Strict", **query}
    assert seen.headers["Content-Type"] == "application/apply-patch+yaml"
    assert seen.json == BODY


def test_bodies_may_be_read_only():
    body = MappingProxyType({**BODY, "metadata": MappingProxyType(BODY["metadata"])})
    server = FakeServer(Reply(body=LIVE))
    talking_to(server).apply({**body, "list": range(2)}, OPTIONS)
    assert server.seen[0].json == {**BODY, "list": [0, 1]}


def test_an_object_that_is_not_json_is_refused_before_it_is_sent():
    server = FakeServer(Reply())
    with pytest.raises(InvalidError, match=r"apply ConfigMap team-a/one: .*JSON"):
        talking_to(server).apply({**BODY, "data": {"key": object()}}, OPTIONS)
    assert server.seen == []


def test_a_resource_version_alone_is_sent_with_the_uid_it_belongs_to():
    live = {**BODY, "metadata": {**BODY["metadata"], "uid": "u-1", "resourceVersion": "8"}}
    body = {**BODY, "metadata": {**BODY["metadata"], "resourceVersion": "7"}}
    server = FakeServer(Reply(body=live))
    talking_to(server).apply(body, OPTIONS)
    assert [seen.method for seen in server.seen] == ["GET", "PATCH"]
    assert server.seen[1].json["metadata"] == {**body["metadata"], "uid": "u-1"}
    assert "uid" not in body["metadata"]


def test_a_resource_version_of_nothing_creates_nothing():
    body = {**BODY, "metadata": {**BODY["metadata"], "resourceVersion": "7"}}
    server = FakeServer(status(404, "NotFound", 'configmaps "one" not found', name="one"))
    with pytest.raises(ConflictError, match=r'version 7: .*configmaps "one" not found'):
        talking_to(server).apply(body, OPTIONS)
    assert [seen.method for seen in server.seen] == ["GET"]


def test_a_delete_names_the_uid_and_leaves_the_rest_to_the_background():
    server = FakeServer(Reply(202, BODY))
    assert talking_to(server).delete(CONFIG_MAP, REF, "u-1") == ()
    [seen] = server.seen
    assert (seen.method, seen.path) == ("DELETE", "/api/v1/namespaces/team-a/configmaps/one")
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.json == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u-1"},
        "propagationPolicy": "Background",
    }


@pytest.mark.parametrize(
    ("metadata", "finalizers"),
    [
        ({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b", "c"]}, ("a/b", "c")),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": None}, ()),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, ()),
        ({"finalizers": ["a/b"]}, ()),
        ({}, ()),
        (None, ()),
    ],
)
def test_a_delete_says_which_finalizers_keep_the_object(metadata, finalizers):
    server = FakeServer(Reply(200, {**BODY, "metadata": metadata}))
    assert talking_to(server).delete(CONFIG_MAP, REF, "u-1") == finalizers


def test_a_path_of_the_server_comes_before_ours():
    server = FakeServer(Reply())
    talking_to(server, url="https://rancher.example/k8s/c-1").get(POD, "a", "b")
    assert server.seen[0].path == "/k8s/c-1/api/v1/namespaces/a/pods/b"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a%2fb"])
def test_a_name_that_would_change_the_path_is_never_sent(name):
    server = FakeServer(Reply())
    cluster = talking_to(server)
    with pytest.raises(InvalidError, match="cannot be part of"):
        cluster.delete(CONFIG_MAP, ObjectRef("", "ConfigMap", "team-a", name), "u-1")
    with pytest.raises(InvalidError, match="cannot be part of"):
        cluster.apply({**BODY, "metadata": {"name": name, "namespace": "team-a"}}, OPTIONS)
    assert server.seen == []


@pytest.mark.parametrize("namespace", [".", "..", "a/b"])
def test_a_namespace_that_leads_to_another_path_is_never_sent(namespace):
    server = FakeServer(Reply())
    with pytest.raises(InvalidError, match="namespace"):
        talking_to(server).get(POD, namespace, "one")
    assert server.seen == []


def test_other_characters_of_a_name_are_quoted():
    server = FakeServer(Reply())
    talking_to(server).get(Kind("rbac.authorization.k8s.io/v1", "Role"), "a", "system:x y?#")
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles/system%3Ax%20y%3F%23"
    assert server.seen[0].path == path


CRONTABS = Reply(
    body={
        "kind": "APIResourceList",
        "resources": [
            {"name": "crontabs", "kind": "CronTab", "namespaced": True},
            {"name": "crontabs/status", "kind": "CronTab", "namespaced": True},
            {"name": "realms", "kind": "Realm", "namespaced": False},
        ],
    }
)
CRONTAB = Kind("stable.example.com/v1", "CronTab")


def test_an_unknown_kind_is_discovered_once():
    server = FakeServer(CRONTABS, Reply())
    cluster = talking_to(server)
    cluster.get(CRONTAB, "a", "b")
    cluster.get(CRONTAB, "a", "c")
    cluster.get(Kind("stable.example.com/v1", "Realm"), "", "r")
    assert [seen.path.removeprefix("/apis/stable.example.com/v1") for seen in server.seen] == [
        "",
        "/namespaces/a/crontabs/b",
        "/namespaces/a/crontabs/c",
        "/realms/r",
    ]


@pytest.mark.parametrize(
    "answer", [Reply(404, b"404 page not found"), Reply(body={"resources": []})]
)
def test_a_kind_that_discovery_does_not_know_is_not_served_until_it_is_added(answer):
    server = FakeServer(answer, answer, CRONTABS, page("a"))
    cluster = talking_to(server)
    assert list(cluster.list(CRONTAB, "team-a", {})) == []
    with pytest.raises(NotFoundError, match=r"CronTab: .* not serve it in stable\.example\.com/v1"):
        cluster.get(CRONTAB, "a", "b")
    assert names(cluster.list(CRONTAB, "team-a", {})) == ["a"]


@pytest.mark.parametrize("body", [{}, {"resources": "x"}, {"resources": [{"name": 1}, None]}])
def test_a_broken_discovery_is_not_taken_for_a_kind_that_is_not_served(body):
    with pytest.raises(UnavailableError, match=r"discover stable\.example\.com/v1"):
        list(talking_to(FakeServer(Reply(body=body))).list(CRONTAB, "team-a", {}))


def test_requests_are_sent_from_several_threads_at_once():
    barrier = threading.Barrier(8)

    def answer():
        barrier.wait(timeout=30)
        return Reply(body=LIVE)

    server = FakeServer(answer)
    cluster = talking_to(server)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: cluster.get(CONFIG_MAP, "team-a", "one"), range(64)))
    assert len(server.seen) == 64
