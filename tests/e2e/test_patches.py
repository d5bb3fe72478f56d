"""The JSON Patch that a plan shows does what its apply does, whatever was edited and by whom."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reconcile.adapters.kube.cluster import KubeCluster
from reconcile.adapters.kube.connect import connect
from reconcile.core.changes import Change, Keep, Patch
from reconcile.core.errors import InvalidError
from reconcile.core.fields.merge_schema import GranularMap, KeyedList, SetList, merge_schema_for
from reconcile.core.model import FIELD_MANAGER, DesiredSession, DesiredState, KubeObject
from reconcile.engine.ports import ApplyOptions
from reconcile.engine.reconciler import Reconciler, ReconcilerOptions
from reconcile.runtime.clock import SystemClock
from tests import builders
from tests.controlplane.access import ControlPlane
from tests.e2e import site as sites
from tests.e2e.site import Object, Site
from tests.e2e.states import bare
from tests.live_patch import patch_object

pytestmark = pytest.mark.cluster

BOUNDED = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
WORDS = st.sampled_from(["a", "b", "a/b", "a~1", "x.y"])
KEYS = st.sampled_from(["a", "b", "example.com/a", "x.y"])
TEXTS = st.sampled_from(["", "1", "two words", "~/"])
TABLES = st.dictionaries(KEYS, st.sampled_from(["", "1", "2"]), max_size=3)
METADATA = st.fixed_dictionaries({}, optional={"labels": TABLES, "annotations": TABLES})


def unique(items: st.SearchStrategy[Object], *keys: str) -> st.SearchStrategy[list[Object]]:
    """Lists in which no key of the server's comes twice."""
    return st.lists(items, max_size=3, unique_by=lambda item: tuple(item[key] for key in keys))


PORTS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["a", "b", "c"]),
            "port": st.sampled_from([80, 81]),
            "protocol": st.sampled_from(["TCP", "UDP"]),
        },
        optional={"targetPort": st.sampled_from([80, "http", 9000])},
    ),
    min_size=1,
    max_size=3,
    unique_by=(lambda p: p["name"], lambda p: (p["port"], p["protocol"])),
)
SERVICES = st.fixed_dictionaries(
    {"ports": PORTS},
    optional={
        "selector": TABLES,
        "sessionAffinity": st.sampled_from(["None", "ClientIP"]),
        "publishNotReadyAddresses": st.booleans(),
    },
).map(lambda spec: {"spec": spec})
CONFIG_MAPS = st.fixed_dictionaries(
    {},
    optional={
        "data": st.dictionaries(st.sampled_from(["a", "b", "x.y"]), TEXTS, max_size=3),
        "binaryData": st.dictionaries(st.just("raw"), st.just("AAE=")),
    },
)
ACCOUNTS = st.fixed_dictionaries(
    {},
    optional={
        "automountServiceAccountToken": st.booleans(),
        "secrets": unique(st.fixed_dictionaries({"name": WORDS}), "name"),
        "imagePullSecrets": unique(st.fixed_dictionaries({"name": WORDS}), "name"),
    },
)
SELECTORS = st.builds(lambda labels: {"matchLabels": labels} if labels else {}, TABLES)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "from": st.lists(st.fixed_dictionaries({"podSelector": SELECTORS}), min_size=1, max_size=2),
        "ports": st.lists(
            st.fixed_dictionaries({"port": st.sampled_from([80, 81]), "protocol": st.just("TCP")}),
            min_size=1,
            max_size=2,
        ),
    },
)
POLICIES = st.fixed_dictionaries(
    {"podSelector": SELECTORS},
    optional={
        "ingress": st.lists(RULES, max_size=2),
        "policyTypes": st.just(["Ingress"]),
    },
).map(lambda spec: {"spec": spec})
PODS = st.just(
    {
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "runner", "image": sites.IMAGE}],
        }
    }
)
BODIES = {
    "Service": SERVICES,
    "ConfigMap": CONFIG_MAPS,
    "ServiceAccount": ACCOUNTS,
    "NetworkPolicy": POLICIES,
    "Pod": PODS,
}
"""What each kind's objects may say, as templates would."""


@pytest.fixture(scope="module")
def place(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, KubeCluster]]:
    site = sites.make(control_plane, tmp_path_factory.mktemp("patches"))
    cluster = connect(str(site.kubeconfig), None)
    yield site, cluster
    cluster.close()


@pytest.mark.parametrize("kind", BODIES)
def test_a_patch_gives_what_the_apply_gives(place: tuple[Site, KubeCluster], kind: str) -> None:
    site, cluster = place
    seen = set()

    @BOUNDED
    @given(
        before=st.tuples(METADATA, BODIES[kind]),
        stranger=st.none() | st.tuples(METADATA, BODIES[kind]),
        after=st.tuples(METADATA, BODIES[kind]),
    )
    def examine(before: Any, stranger: Any, after: Any) -> None:
        first, second = (wanted(site.namespace, kind, *each) for each in (before, after))
        clear(site, kind)
        settle(cluster, first)
        if stranger is not None:
            meddle(site, kind, *stranger)
        seen.add(compare(cluster, second))

    examine()
    assert Patch in seen


def wanted(namespace: str, kind: str, metadata: Object, body: Object) -> DesiredSession:
    """A session that consists of its Record and this one object."""
    session = builders.session("one", namespace)
    api = sites.KINDS[kind].api_version
    rendered = builders.body(kind, "one-part", api, metadata=metadata, **body)
    return builders.wanted(rendered, of=session)


def plan(cluster: KubeCluster, what: DesiredSession) -> tuple[Reconciler, Any]:
    desired: DesiredState = builders.desired(
        what,
        kinds=frozenset(manifest.kind for manifest in what.manifests),
        namespaces=frozenset({what.session.id.namespace}),
    )
    reconciler = Reconciler(cluster, SystemClock(), ReconcilerOptions())
    return reconciler, reconciler.plan(desired, {})


def settle(cluster: KubeCluster, what: DesiredSession) -> None:
    reconciler, planned = plan(cluster, what)
    for done in reconciler.apply(planned):
        assert [outcome.message for outcome in done.outcomes if outcome.message] == []


def meddle(site: Site, kind: str, metadata: Object, body: Object) -> None:
    """Change the live object as `kubectl edit` of other fields would: maps merge, lists go."""
    answer = site.plane.request(
        "PATCH",
        site.path(kind, "one-part"),
        {"metadata": metadata, **(body if kind != "Pod" else {})},
        content_type="application/merge-patch+json",
        params={"fieldManager": "stranger"},
    )
    # What the server refuses has changed nothing.
    assert answer.status_code in {200, 422}, answer.text


def clear(site: Site, kind: str) -> None:
    params = {"gracePeriodSeconds": "0"}
    answer = site.plane.request("DELETE", site.path(kind, "one-part"), params=params)
    assert answer.status_code in {200, 404}


def compare(cluster: KubeCluster, what: DesiredSession) -> type:
    """Try a plan's patch and its apply without any effect, and compare what they would give."""
    manifest = what.manifests[1]
    where = (manifest.kind, manifest.ref.namespace, manifest.ref.name)
    while True:
        live = cluster.get(*where)
        change, patched, applied = results(cluster, what, live)
        # Older servers add a token to each account, at any moment.
        if cluster.get(*where) == live:
            break
    schema = merge_schema_for(manifest.kind)
    assert unordered(schema, patched) == unordered(schema, applied), change
    return type(change)


def results(
    cluster: KubeCluster, what: DesiredSession, live: KubeObject
) -> tuple[Change, KubeObject, KubeObject]:
    manifest = what.manifests[1]
    _, planned = plan(cluster, what)
    [change] = [c for c in planned.plan.changes if c.ref == manifest.ref]
    assert isinstance(change, Patch | Keep), "everything can change in these objects"
    force = isinstance(change, Patch) and change.force
    operations = change.operations if isinstance(change, Patch) else ()
    owners = {"ownerReferences": live["metadata"]["ownerReferences"]}
    body = {**manifest.body, "metadata": {**manifest.body["metadata"], **owners}}
    applied = tried(cluster.apply, body, ApplyOptions(FIELD_MANAGER, force, dry_run=True))
    patched = tried(patch_object, cluster, manifest.kind, manifest.ref, operations, dry_run=True)
    return change, patched, applied


def tried(request: Callable[..., KubeObject], *arguments: Any, **options: Any) -> Object:
    """What a request gives, or the fields for which it is refused."""
    try:
        return bare(request(*arguments, **options))
    except InvalidError as error:
        return {"refused": error.fields}


def unordered(node: Any, value: Any) -> Any:
    """Give the items of keyed lists and sets an order that says nothing."""
    match node, value:
        case GranularMap(), dict():
            return {name: unordered(node.child(name), below) for name, below in value.items()}
        case KeyedList(), list():
            return sorted((unordered(node.item, item) for item in value), key=repr)
        case SetList(), list():
            return sorted(value)
        case _:
            return value
