"""Kinds of which only the server knows how their lists are merged."""

from reconcile.core.changes import ABSENT
from tests.builders import (
    body,
    live,
    manage,
    manifest,
)
from tests.core.fields.comparison import differ
from tests.json_patch import patched


def widget(*items, **spec):
    return body("Widget", "w", "example.com/v1", spec={"items": list(items), **spec})


def test_of_kinds_that_are_not_known_managed_fields_say_which_lists_are_keyed():
    obj = live(manifest(widget({"id": "a", "n": 1}, {"id": "b", "n": 2})))
    items = {f'k:{{"id":"{key}"}}': {".": {}, "f:id": {}, "f:n": {}} for key in "ab"}
    manage(obj, "reconcile", {"f:spec": {"f:items": items}}, operation="Apply")
    found, operations = differ(widget({"id": "c"}, {"id": "b", "n": 3}), obj)
    changes = [each for each in found if each[0].startswith("spec.")]
    assert changes == [
        ("spec.items[c]", ABSENT, {"id": "c"}),
        ("spec.items[b].n", 2, 3),
        ("spec.items[a]", {"id": "a", "n": 1}, ABSENT),
    ]
    result = patched(obj, operations)
    assert result["spec"]["items"] == [{"id": "b", "n": 3}, {"id": "c"}]


def test_of_kinds_that_are_not_known_managed_fields_say_which_lists_are_sets():
    obj = live(manifest(widget("a", "b")))
    manage(obj, "reconcile", {"f:spec": {"f:items": {'v:"a"': {}, 'v:"b"': {}}}}, operation="Apply")
    found, operations = differ(widget("b", "c"), obj)
    assert ("spec.items[c]", ABSENT, "c") in found
    assert ("spec.items[a]", "a", ABSENT) in found
    assert patched(obj, operations)["spec"]["items"] == ["b", "c"]


def test_of_kinds_that_are_not_known_other_lists_are_taken_as_a_whole():
    obj = live(manifest(widget("a", "b")))
    assert differ(widget("b", "a"), obj)[0] == [("spec.items", ["a", "b"], ["b", "a"])]
