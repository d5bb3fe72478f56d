import pytest

from reconcile.core.fields.field_path import ListItem, SetMember
from reconcile.core.fields.managed_fields import (
    FieldOwnership,
    ManagedFieldsEntry,
    deserialize_segment,
    read_ownership,
    serialize_segment,
)
from tests.builders import co_owned, live, manage, manifest, pod, service

UNOWNED = FieldOwnership(None, ())


def owner(fields, manager="other", time=""):
    return ManagedFieldsEntry(manager, "Update", time, "", fields)


SEGMENTS = [
    ("spec", "f:spec"),
    ("a/b:c", "f:a/b:c"),
    (ListItem((("name", "A"),)), 'k:{"name":"A"}'),
    (
        ListItem((("containerPort", 80), ("protocol", "TCP"))),
        'k:{"containerPort":80,"protocol":"TCP"}',
    ),
    (ListItem((("mountPath", "/a&b<c>"),)), 'k:{"mountPath":"/a\\u0026b\\u003cc\\u003e"}'),
    (SetMember("é"), 'v:"é"'),
    (SetMember(1), "v:1"),
]


@pytest.mark.parametrize(("segment", "key"), SEGMENTS)
def test_a_step_is_serialized_as_by_the_server_and_parsed_back(segment, key):
    assert serialize_segment(segment) == key
    assert deserialize_segment(key) == segment


def test_the_order_of_keys_in_a_step_is_the_servers():
    assert serialize_segment(ListItem((("b", 1), ("a", 2)))) == 'k:{"a":2,"b":1}'


@pytest.mark.parametrize("key", [".", "i:0"])
def test_the_place_itself_and_steps_that_are_not_used_are_no_steps(key):
    assert deserialize_segment(key) is None


def test_claims_are_narrowed_along_a_path():
    claims = FieldOwnership(
        {"f:spec": {"f:a": {}}}, (owner({"f:spec": {"f:b": {}}}, "x"), owner({"f:data": {}}, "y"))
    )
    below = claims.descend("spec")
    assert below.ours == {"f:a": {}}
    assert [(each.manager, each.fields) for each in below.others] == [("x", {"f:b": {}})]
    assert below.descend("b").ours is None
    assert UNOWNED.descend("spec") == UNOWNED


@pytest.mark.parametrize(
    ("ours", "others", "is_leaf"),
    [
        ({}, [], True),
        (None, [{}], True),
        ({}, [{}], True),
        ({"f:a": {}}, [], False),
        ({"f:a": {}}, [{}], False),
        ({}, [{"f:a": {}}], False),
        ({".": {}}, [], False),
        (None, [], False),
    ],
)
def test_a_value_is_a_leaf_if_it_is_owned_and_nothing_in_it_is(ours, others, is_leaf):
    assert FieldOwnership(ours, tuple(map(owner, others))).is_leaf is is_leaf


@pytest.mark.parametrize(
    ("others", "is_others"),
    [([], False), ([{"f:a": {}}], False), ([{".": {}, "f:a": {}}], True), ([{}], True)],
)
def test_a_place_is_others_if_they_own_more_than_something_in_it(others, is_others):
    assert FieldOwnership({}, tuple(map(owner, others))).is_owned_by_others is is_others


def test_the_latest_other_manager_is_the_one_that_wrote_last():
    first, last = owner({}, "a", "2024-01-01T00:00:00Z"), owner({}, "b", "2024-01-02T00:00:00Z")
    assert FieldOwnership(None, (first, last)).latest_other == last
    assert FieldOwnership(None, (last, first)).latest_other == last
    assert UNOWNED.latest_other is None


def test_our_own_apply_is_ours_and_everything_else_is_others():
    obj = live(manifest(service()))
    co_owned(obj, {"f:spec": {"f:type": {}}}, "kubectl")
    co_owned(obj, {"f:spec": {"f:selector": {}}}, "reconcile", operation="Update")
    claims = read_ownership(obj)
    assert claims.ours is not None
    assert set(claims.ours) == {"f:metadata", "f:spec"}
    assert [each.manager for each in claims.others] == ["kubectl", "reconcile"]


def test_what_is_changed_by_a_subresource_is_owned_too():
    obj = manage(live(manifest(pod())), "vpa", {"f:spec": {"f:containers": {}}})
    obj["metadata"]["managedFields"][-1]["subresource"] = "resize"
    assert [each.manager for each in read_ownership(obj).others] == ["vpa"]


def test_an_object_without_managed_fields_has_no_owner():
    assert read_ownership({"metadata": {}}) == UNOWNED
