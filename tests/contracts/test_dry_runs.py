"""The `Cluster` port: dry runs of new, changed and invalid objects."""

import pytest

from reconcile.core.errors import (
    AdmissionDeniedError,
    ConflictError,
    InvalidError,
    NotFoundError,
    NotFoundReason,
)
from reconcile.core.model import Kind
from reconcile.engine.ports import ApplyOptions
from tests.contracts.bodies import (
    ACCOUNT,
    CONFIG_MAP,
    DRY,
    OURS,
    POD,
    SERVICE,
    UNUSED_UID,
    body,
    config_map,
    exists,
    pod,
    service,
)

DRY_FORCED = ApplyOptions("reconcile", force=True, dry_run=True)
BODIES = {
    "ConfigMap": lambda namespace: config_map(namespace, data={"a": "1"}),
    "ServiceAccount": lambda namespace: body(ACCOUNT, namespace),
    "Service": lambda namespace: service(namespace, 80),
    "Pod": pod,
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_dry_run_returns_the_object_and_stores_nothing(cluster, namespace, kind):
    wanted = BODIES[kind](namespace)
    answer = cluster.apply(wanted, DRY)
    assert answer["metadata"]["name"] == "one"
    assert answer["metadata"]["uid"]
    assert not exists(cluster, wanted)
    assert [*cluster.list(Kind(wanted["apiVersion"], kind), namespace, {"a": "b"})] == []


def test_a_dry_run_completes_an_object_as_an_apply_does(cluster, namespace):
    tried = cluster.apply(pod(namespace), DRY)
    applied = cluster.apply(pod(namespace), OURS)
    assert tried["spec"] == applied["spec"]


def test_a_dry_run_of_a_change_does_not_change_the_object(cluster, namespace):
    applied = cluster.apply(service(namespace, 80), OURS)
    changed = service(namespace, 81)
    changed["metadata"]["uid"] = applied["metadata"]["uid"]
    assert cluster.apply(changed, DRY_FORCED)["spec"]["ports"][0]["port"] == 81
    assert cluster.get(SERVICE, namespace, "one") == applied


def test_a_dry_run_with_another_uid_is_a_conflict(cluster, namespace):
    cluster.apply(config_map(namespace), OURS)
    with pytest.raises(ConflictError):
        cluster.apply(config_map(namespace, metadata={"uid": UNUSED_UID}), DRY_FORCED)


def test_a_dry_run_with_the_uid_of_a_deleted_object_is_a_conflict(cluster, namespace):
    with pytest.raises(ConflictError):
        cluster.apply(config_map(namespace, metadata={"uid": UNUSED_UID}), DRY_FORCED)


def test_a_dry_run_of_an_invalid_object_is_refused(cluster, namespace):
    with pytest.raises(InvalidError) as refused:
        cluster.apply(pod(namespace, restartPolicy="Maybe"), DRY)
    assert refused.value.fields == ("spec.restartPolicy",)


def test_a_dry_run_of_a_forbidden_change_is_refused(cluster, namespace):
    cluster.apply(pod(namespace), OURS)
    with pytest.raises(InvalidError):
        cluster.apply(pod(namespace, restartPolicy="Never"), DRY_FORCED)


@pytest.mark.parametrize("options", [DRY, OURS])
def test_a_namespace_that_is_not_there_is_named_as_what_is_missing(cluster, namespace, options):
    with pytest.raises(NotFoundError) as missing:
        cluster.apply(config_map(f"{namespace}-gone"), options)
    assert missing.value.reason is NotFoundReason.NAMESPACE


@pytest.mark.parametrize("version", ["example.com/v1", "networking.k8s.io/v1"])
def test_a_kind_that_is_not_served_is_named_as_what_is_missing(cluster, namespace, version):
    with pytest.raises(NotFoundError) as missing:
        cluster.apply(body(Kind(version, "Widget"), namespace), DRY)
    assert missing.value.reason is NotFoundReason.KIND


def test_an_object_that_is_not_there_is_named_as_what_is_missing(cluster, namespace):
    with pytest.raises(NotFoundError) as missing:
        cluster.get(CONFIG_MAP, namespace, "gone")
    assert missing.value.reason is NotFoundReason.OBJECT


@pytest.mark.parametrize("options", [DRY, OURS])
def test_a_pod_whose_account_is_not_there_is_denied_and_no_right_is_missing(
    cluster, namespace, options
):
    with pytest.raises(AdmissionDeniedError) as denied:
        cluster.apply(pod(namespace, serviceAccountName="gone"), options)
    assert denied.value.verb == ""
    assert "error looking up service account" in str(denied.value)
    assert not exists(cluster, pod(namespace))


def test_a_pod_whose_account_is_there_is_let_in(cluster, namespace):
    cluster.apply(body(ACCOUNT, namespace, "there"), OURS)
    tried = cluster.apply(pod(namespace, serviceAccountName="there"), DRY)
    assert tried["spec"]["serviceAccountName"] == "there"
    assert [*cluster.list(POD, namespace, {})] == []
