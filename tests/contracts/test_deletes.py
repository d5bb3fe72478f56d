"""The `Cluster` port: deletion, finalizers, garbage collection."""

import pytest

from reconcile.core.errors import ConflictError, NotFoundError
from tests.builders import ref_of_object
from tests.contracts.bodies import (
    CONFIG_MAP,
    OURS,
    POD,
    UNUSED_UID,
    config_map,
    exists,
    owner,
    pod,
    uid,
)


def test_exactly_the_object_with_the_uid_is_deleted(cluster, namespace):
    applied = cluster.apply(config_map(namespace), OURS)
    with pytest.raises(ConflictError):
        cluster.delete(CONFIG_MAP, ref_of_object(applied), UNUSED_UID)
    assert exists(cluster, applied)
    cluster.delete(CONFIG_MAP, ref_of_object(applied), uid(applied))
    assert not exists(cluster, applied)
    with pytest.raises(NotFoundError):
        cluster.delete(CONFIG_MAP, ref_of_object(applied), uid(applied))


def test_what_is_created_again_has_another_uid(cluster, namespace):
    first = cluster.apply(config_map(namespace), OURS)
    cluster.delete(CONFIG_MAP, ref_of_object(first), uid(first))
    second = cluster.apply(config_map(namespace), OURS)
    assert uid(first) != uid(second)


def test_what_is_owned_goes_with_its_owner(world, cluster, namespace):
    if not world.collects_garbage:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager")
    record = cluster.apply(config_map(namespace, "record"), OURS)
    owned = config_map(namespace, "owned", metadata={"ownerReferences": [owner(record)]})
    below = {"ownerReferences": [owner(cluster.apply(owned, OURS))]}
    cluster.apply(config_map(namespace, "below", metadata=below), OURS)
    bystander = cluster.apply(config_map(namespace, "bystander"), OURS)
    cluster.delete(CONFIG_MAP, ref_of_object(record), uid(record))
    for name in ("owned", "below"):
        gone = config_map(namespace, name)
        world.eventually(name, lambda gone=gone: not exists(cluster, gone))
    assert exists(cluster, bystander)


def test_what_names_an_owner_that_never_was_goes(world, cluster, namespace):
    if not world.collects_garbage:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager")
    record = cluster.apply(config_map(namespace, "record"), OURS)
    stale = {"ownerReferences": [{**owner(record), "uid": UNUSED_UID}]}
    orphan = cluster.apply(config_map(namespace, "orphan", metadata=stale), OURS)
    world.eventually("the orphan", lambda: not exists(cluster, orphan))
    assert exists(cluster, record)


def test_a_pod_that_is_on_no_node_is_gone_at_once(cluster, namespace):
    applied = cluster.apply(pod(namespace), OURS)
    cluster.delete(POD, ref_of_object(applied), uid(applied))
    assert not exists(cluster, applied)


def test_a_pod_on_a_node_has_its_grace_period(cluster, namespace):
    body = pod(namespace, nodeName="node", terminationGracePeriodSeconds=600)
    applied = cluster.apply(body, OURS)
    assert "deletionTimestamp" not in applied["metadata"]
    cluster.delete(POD, ref_of_object(applied), uid(applied))
    ending = cluster.get(POD, namespace, "one")
    assert ending["metadata"]["deletionTimestamp"] > applied["metadata"]["creationTimestamp"]
    assert ending["metadata"]["deletionGracePeriodSeconds"] == 600
    cluster.delete(POD, ref_of_object(applied), uid(applied))
    assert cluster.get(POD, namespace, "one") == ending


def test_an_apply_onto_an_object_that_ends_neither_fails_nor_revives_it(cluster, namespace):
    body = pod(namespace, nodeName="node")
    applied = cluster.apply(body, OURS)
    cluster.delete(POD, ref_of_object(applied), uid(applied))
    body["metadata"]["labels"] = {"a": "b"}
    again = cluster.apply(body, OURS)
    assert uid(again) == uid(applied)
    assert again["metadata"]["labels"] == {"a": "b"}
    assert "deletionTimestamp" in again["metadata"]


def test_an_object_with_a_finalizer_goes_when_that_is_taken_off(cluster, namespace):
    held = config_map(namespace, metadata={"finalizers": ["example.com/hold"]})
    applied = cluster.apply(held, OURS)
    cluster.delete(CONFIG_MAP, ref_of_object(applied), uid(applied))
    assert "deletionTimestamp" in cluster.get(CONFIG_MAP, namespace, "one")["metadata"]
    cluster.apply(config_map(namespace), OURS)
    assert not exists(cluster, applied)


def test_a_delete_says_which_finalizers_keep_the_object(cluster, namespace):
    plain = cluster.apply(config_map(namespace, "plain"), OURS)
    assert cluster.delete(CONFIG_MAP, ref_of_object(plain), uid(plain)) == ()
    held = config_map(namespace, "held", metadata={"finalizers": ["example.com/hold"]})
    applied = cluster.apply(held, OURS)
    for _ in range(2):
        finalizers = cluster.delete(CONFIG_MAP, ref_of_object(applied), uid(applied))
        assert finalizers == ("example.com/hold",)
    assert exists(cluster, applied)
    cluster.apply(config_map(namespace, "held", metadata={"uid": uid(applied)}), OURS)
    assert not exists(cluster, applied)
