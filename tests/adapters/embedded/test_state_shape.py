"""A state file that another program or a person has changed is read, or refused with the place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.adapters.embedded.state_shape import find_shape_error
from reconcile.core.errors import ClusterError
from tests.contracts.bodies import POD


def item(kind="Pod", **fields):
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, **fields}


def metadata(**fields):
    return item("ConfigMap", metadata={"name": "a", **fields})


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (1, "is not an object"),
        ({}, ".apiVersion is missing"),
        ({"apiVersion": "v1", "kind": 5}, ".kind is missing"),
        (item(metadata=[]), ".metadata.name is missing"),
        (metadata(name=""), ".metadata.name is not a text"),
        (metadata(labels=5), ".metadata.labels is not a mapping"),
        (metadata(labels=None), ".metadata.labels is not a mapping"),
        (metadata(labels={"a": 5}), ".metadata.labels.a is not a text"),
        (metadata(managedFields="x"), ".metadata.managedFields is not a list"),
        (metadata(managedFields=[5]), ".metadata.managedFields[0] is not a mapping"),
        (
            metadata(managedFields=[{"fieldsV1": {"f:a": 5}}]),
            ".metadata.managedFields[0].fieldsV1 is not the fields of a manager",
        ),
        (
            metadata(managedFields=[{"fieldsV1": {"a": {}}}]),
            ".metadata.managedFields[0].fieldsV1 is not the fields of a manager",
        ),
        (metadata(ownerReferences=[{"uid": ""}]), ".metadata.ownerReferences[0].uid is not a text"),
        (
            metadata(deletionTimestamp="now"),
            ".metadata.deletionTimestamp is not a time such as 2026-01-31T12:00:00Z",
        ),
        (metadata(generation=True), ".metadata.generation is not a number of at most 31 bits"),
        (item(), ".spec.containers is missing"),
        (item(spec={"containers": []}), ".spec.terminationGracePeriodSeconds is missing"),
        (item(spec={"containers": [{"env": [5]}]}), ".spec.containers[0].env[0] is not a mapping"),
        (item(status={"phase": 5}), ".status.phase is not a text"),
        (item("ConfigMap", data={"a": 5}), ".data.a is not a text"),
        (item("Service", spec={"ports": {}}), ".spec.ports is not a list"),
        (item("Role", spec=5), ".spec is not a mapping"),
    ],
)
def test_the_place_of_what_is_wrong_is_named(broken, expected, tmp_path):
    assert find_shape_error(broken) == expected
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"items": [broken]}))
    with pytest.raises(ClusterError, match="not a state file of the embedded cluster") as caught:
        list(EmbeddedCluster(path).list(POD, "", {}))
    assert expected in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"items": 5}', "[" * 5000, "\udcff", "nul"])
def test_what_is_no_state_at_all_is_refused(text, tmp_path):
    path = tmp_path / "state.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ClusterError, match="not a state file"):
        list(EmbeddedCluster(path).list(POD, "", {}))


@pytest.mark.parametrize("version", [5, [], {}, {"resourceVersion": "9" * 5000}])
def test_the_metadata_of_the_list_may_be_anything(version, tmp_path):
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"metadata": version, "items": []}))
    assert list(EmbeddedCluster(path).list(POD, "", {})) == []


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
_PLACES = [
    ("metadata",),
    *(
        ("metadata", name)
        for name in ("labels", "managedFields", "finalizers", "uid", "generation")
    ),
    ("spec",),
    *(("spec", name) for name in ("containers", "volumes", "nodeName", "securityContext")),
    ("status",),
    *(("status", name) for name in ("phase", "conditions", "containerStatuses", "startTime")),
]


@given(st.sampled_from(_PLACES), _ANY)
def test_every_other_value_is_read_or_refused(place, value):
    found = item(spec={"containers": [], "terminationGracePeriodSeconds": 5}, status={})
    *parents, last = place
    target = found
    for name in parents:
        target = target[name]
    target[last] = value
    assert isinstance(find_shape_error(found), str)
