import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.fields import managed_fields
from reconcile.core.fields.merge_schema import GranularMap, SetList, merge_schema_for
from reconcile.core.model import Kind

POD = merge_schema_for(Kind("v1", "Pod"))
SERVICE = merge_schema_for(Kind("v1", "Service"))
CONFIG_MAP = merge_schema_for(Kind("v1", "ConfigMap"))

PORT = 'k:{"containerPort":8001,"protocol":"TCP"}'


def pod(**container):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": "n", "labels": {"app": "x"}},
        "spec": {"containers": [{"name": "A", **container}]},
    }


def container_fields(**container):
    fields = managed_fields.build_field_set(pod(**container), POD)
    return fields["f:spec"]["f:containers"]['k:{"name":"A"}']


def test_an_apply_owns_what_it_declares_but_not_what_identifies_the_object():
    assert managed_fields.build_field_set(pod(image="i"), POD) == {
        "f:metadata": {"f:labels": {"f:app": {}}},
        "f:spec": {"f:containers": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:image": {}}}},
    }


@pytest.mark.parametrize(
    ("declared", "owned"),
    [
        ({"command": ["a", "b"]}, {"f:command": {}}),
        ({"resources": {}}, {"f:resources": {}}),
        ({"tty": None}, {"f:tty": {}}),
        ({"env": []}, {}),
        ({"lifecycle": {"preStop": {}}}, {"f:lifecycle": {"f:preStop": {}}}),
        (
            {"resources": {"limits": {"cpu": "1"}}},
            {"f:resources": {"f:limits": {"f:cpu": {}}}},
        ),
        (
            {"env": [{"name": "E", "value": "v"}]},
            {"f:env": {'k:{"name":"E"}': {".": {}, "f:name": {}, "f:value": {}}}},
        ),
        (
            {"ports": [{"protocol": "TCP", "containerPort": 8001}]},
            {"f:ports": {PORT: {".": {}, "f:containerPort": {}, "f:protocol": {}}}},
        ),
        (
            {"ports": [{"containerPort": 8001}]},
            {"f:ports": {PORT: {".": {}, "f:containerPort": {}}}},
        ),
        ({"ports": ["nonsense"]}, {"f:ports": {'k:{"containerPort":null,"protocol":"TCP"}': {}}}),
        ({"env": "nonsense"}, {"f:env": {}}),
    ],
)
def test_each_shape_of_value_is_owned_as_the_server_records_it(declared, owned):
    assert container_fields(**declared) == {".": {}, "f:name": {}, **owned}


def test_keys_are_escaped_as_the_server_escapes_them():
    owned = container_fields(volumeMounts=[{"mountPath": '/a&b<é"q'}])["f:volumeMounts"]
    assert list(owned) == ['k:{"mountPath":"/a\\u0026b\\u003cé\\"q"}']


def test_a_map_that_is_known_to_be_atomic_is_owned_as_a_whole():
    assert managed_fields.build_field_set({"a": {"b": 1}}, GranularMap({"a": SetList()})) == {
        "f:a": {}
    }


def test_members_of_a_set_are_owned_one_by_one():
    body = {"metadata": {"name": "a", "finalizers": ["x/é", "y"]}}
    assert managed_fields.build_field_set(body, CONFIG_MAP) == {
        "f:metadata": {"f:finalizers": {'v:"x/é"': {}, 'v:"y"': {}}}
    }


@pytest.mark.parametrize("metadata", [{}, {"name": "a", "uid": "u", "managedFields": []}, None])
def test_metadata_that_only_identifies_owns_nothing(metadata):
    body = {"kind": "ConfigMap", "metadata": metadata, "data": {"k": "v"}}
    owned = managed_fields.build_field_set(body, CONFIG_MAP)
    assert {**owned, "f:metadata": {}} == {"f:data": {"f:k": {}}, "f:metadata": {}}


def test_an_item_comes_before_what_is_in_it():
    fields = managed_fields.build_field_set(pod(image="i"), POD)
    item = ("f:spec", "f:containers", 'k:{"name":"A"}')
    assert list(managed_fields.iter_owned_paths(fields)) == [
        ("f:metadata", "f:labels", "f:app"),
        item,
        (*item, "f:name"),
        (*item, "f:image"),
    ]


def managed(*entries):
    return {"metadata": {"managedFields": list(entries)}}


def entry(manager, fields, operation="Apply", **more):
    return {"manager": manager, "operation": operation, "fieldsV1": fields, "time": "T", **more}


def test_owners_have_operation_time_and_subresource():
    obj = managed(entry("a", {"f:x": {}}), entry("b", None, "Update", subresource="status"))
    assert list(managed_fields.iter_managed_fields(obj)) == [
        ("a", "Apply", "T", "", {"f:x": {}}),
        ("b", "Update", "T", "status", {}),
    ]


def test_an_object_without_managed_fields_has_no_owners():
    assert list(managed_fields.iter_managed_fields({})) == []
    assert list(managed_fields.iter_managed_fields({"metadata": {"managedFields": None}})) == []


def test_a_manager_owns_what_its_own_entries_on_the_object_say():
    obj = managed(
        entry("a", {"f:x": {}}, apiVersion="v1beta1"),
        entry("a", {"f:y": {}}, apiVersion="v1"),
        entry("a", {"f:z": {}}, "Update"),
        entry("a", {"f:s": {}}, subresource="status"),
        entry("b", {"f:b": {}}),
    )
    assert managed_fields.find_manager_fields(obj, "a") == {"f:x": {}, "f:y": {}}
    assert managed_fields.find_manager_fields(obj, "a", "Update") == {"f:z": {}}
    assert managed_fields.find_manager_fields(obj, "c") is None


GIVEN_UP = [
    ({"f:a": {}, "f:b": {}}, {"f:a": {}}, {"f:b": {}}),
    ({"f:m": {}}, {"f:m": {"f:a": {}}}, {}),
    ({"f:m": {"f:a": {}}}, {"f:m": {}}, {"f:m": {"f:a": {}}}),
    (
        {"f:l": {"k:1": {".": {}, "f:a": {}}}},
        {"f:l": {"k:1": {".": {}}}},
        {"f:l": {"k:1": {"f:a": {}}}},
    ),
    ({"f:l": {"k:1": {".": {}, "f:a": {}}}}, {"f:l": {}}, {"f:l": {"k:1": {".": {}, "f:a": {}}}}),
    ({"f:m": {".": {}, "f:a": {}}}, {"f:m": {"f:a": {}}}, {}),
]


@pytest.mark.parametrize(("before", "after", "expected"), GIVEN_UP)
def test_a_field_that_is_not_declared_any_more_is_released(before, after, expected):
    assert managed_fields.find_released_fields(before, after) == expected


KEYS = st.sampled_from(["f:a", "f:b", 'k:{"name":"A"}', 'v:"x"'])


def normal(fields):
    """A tree as the server writes it: nothing but `.` below a step is written `{}`."""
    return {key: {} if set(below) <= {"."} else normal(below) for key, below in fields.items()}


TREES = st.recursive(
    st.just({}),
    lambda below: st.dictionaries(st.one_of(KEYS, st.just(".")), below, max_size=4),
    max_leaves=12,
).map(lambda tree: normal({**{k: v for k, v in tree.items() if k != "."}}))


def strip(fields):
    return {key: {} if key == "." else strip(below) for key, below in fields.items()}


SETS = TREES.map(strip)


def paths(fields):
    return set(managed_fields.iter_owned_paths(fields))


@given(SETS, SETS)
def test_the_operations_are_those_of_sets_of_paths(one, other):
    assert paths(managed_fields.union_field_sets(one, other)) == paths(one) | paths(other)
    assert paths(managed_fields.subtract_field_sets(one, other)) == paths(one) - paths(other)
    assert paths(managed_fields.intersect_field_sets(one, other)) == paths(one) & paths(other)


@given(SETS, SETS)
def test_no_operation_changes_what_it_is_given(one, other):
    before = repr((one, other))
    managed_fields.union_field_sets(one, other)
    managed_fields.subtract_field_sets(one, other)
    assert repr((one, other)) == before


@given(SETS)
def test_nothing_is_left_of_a_set_without_itself(fields):
    assert managed_fields.is_empty_field_set(managed_fields.subtract_field_sets(fields, fields))
    assert managed_fields.is_empty_field_set(managed_fields.find_released_fields(fields, fields))
    assert managed_fields.union_field_sets(fields, {}) == fields
    assert managed_fields.intersect_field_sets(fields, fields) == fields
    assert managed_fields.is_empty_field_set(fields) == (not paths(fields))


@given(SETS, SETS)
def test_never_more_is_given_up_than_the_difference(before, after):
    assert paths(managed_fields.find_released_fields(before, after)) <= paths(
        managed_fields.subtract_field_sets(before, after)
    )
