import pytest

from reconcile.core.fields.field_path import (
    ListItem,
    PointerResolver,
    SetMember,
    find_item_index,
    format_path,
)

NAMED = ListItem((("name", "b"),))
PORT = ListItem((("containerPort", 80), ("protocol", "TCP")))
BODY = {
    "spec": {
        "containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 80}]}],
        "text": "abc",
    },
    "metadata": {"finalizers": ["x", "y"], "labels": {"a/b~c": "1"}},
}


@pytest.mark.parametrize(
    ("path", "shown", "pointed"),
    [
        ((), "", ""),
        (("spec",), "spec", "/spec"),
        (("spec", "containers", NAMED, "image"), "spec.containers[b].image", None),
        (("metadata", "finalizers", SetMember("y")), "metadata.finalizers[y]", None),
        (("metadata", "labels", "a/b~c"), "metadata.labels[a/b~c]", "/metadata/labels/a~1b~0c"),
        (("spec", "ports", PORT), "spec.ports[containerPort=80,protocol=TCP]", "/spec/ports/-"),
        (("spec", "text", NAMED), "spec.text[b]", "/spec/text/-"),
        (("spec", "text", "x"), "spec.text.x", "/spec/text/x"),
        (("a.b",), "[a.b]", "/a.b"),
    ],
)
def test_a_path_reads_well_for_people_and_as_a_json_pointer(path, shown, pointed):
    assert format_path(path) == shown
    assert pointed is None or PointerResolver(BODY).resolve(path)[0] == pointed


@pytest.mark.parametrize(
    ("path", "pointed"),
    [
        (("spec", "containers", NAMED, "image"), "/spec/containers/1/image"),
        (("spec", "containers", ListItem((("name", "z"),))), "/spec/containers/-"),
        (("metadata", "finalizers", SetMember("y")), "/metadata/finalizers/1"),
        (("metadata", "finalizers", SetMember("z")), "/metadata/finalizers/-"),
    ],
)
def test_list_items_are_found_by_key_and_appended_where_there_are_none(path, pointed):
    assert PointerResolver(BODY).resolve(path)[0] == pointed


@pytest.mark.parametrize("items", [None, "b", {"name": "b"}, [], ["b"], [{"name": "a"}]])
def test_an_item_that_is_not_there_has_no_index(items):
    assert find_item_index(NAMED, items) is None


def test_items_that_are_no_mappings_keep_the_positions_of_the_others():
    path = ("items", NAMED)
    assert PointerResolver({"items": ["b", {"name": "b"}]}).resolve(path)[0] == "/items/1"
    odd = ("items", ListItem((("name", ["b"]),)))
    assert PointerResolver({"items": [{"name": ["b"]}]}).resolve(odd)[0] == "/items/0"
