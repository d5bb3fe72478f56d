import pytest

from reconcile.core.changes import ABSENT
from reconcile.core.fields.diff import Difference, build_json_patch
from reconcile.core.fields.field_path import ListItem, SetMember
from reconcile.core.fields.managed_fields import FieldOwnership
from tests.json_patch import patched

LIVE = {
    "metadata": {"labels": {"9": "a", "10": "b", "²": "c"}, "finalizers": ["x", "y"]},
    "spec": {"env": [{"name": name} for name in "ABCDEFGHIJKLM"], "args": ["a"]},
}


def env(name):
    return ("spec", "env", ListItem((("name", name),)))


def differs(path, before, after):
    return Difference(path, before, after, FieldOwnership(None, ()))


def test_additions_changes_and_removals_are_distinguished():
    assert build_json_patch(
        [
            differs(("spec", "gone"), 1, ABSENT),
            differs(("spec", "args"), ["a"], ["b"]),
            differs(("spec", "new"), ABSENT, 1),
            differs(env("Z"), ABSENT, {"name": "Z"}),
        ],
        LIVE,
    ) == (
        {"op": "replace", "path": "/spec/args", "value": ["b"]},
        {"op": "add", "path": "/spec/new", "value": 1},
        {"op": "add", "path": "/spec/env/-", "value": {"name": "Z"}},
        {"op": "remove", "path": "/spec/gone"},
    )


def test_a_claim_that_is_given_up_changes_nothing():
    assert build_json_patch([differs(("spec", "args"), ["a"], ["a"])], LIVE) == ()


@pytest.mark.parametrize("names", ["ABC", "BKL", "LCA", "KB"])
def test_removals_go_from_the_back_so_that_indices_hold(names):
    found = [differs(env(name), {"name": name}, ABSENT) for name in names]
    found.append(differs(("metadata", "finalizers", SetMember("x")), "x", ABSENT))
    result = patched(LIVE, build_json_patch(found, LIVE))
    assert [item["name"] for item in result["spec"]["env"]] == [
        name for name in "ABCDEFGHIJKLM" if name not in names
    ]
    assert result["metadata"]["finalizers"] == ["y"]


def test_names_that_look_like_numbers_are_supported():
    found = [differs(("metadata", "labels", name), "", ABSENT) for name in ("9", "10", "²")]
    assert patched(LIVE, build_json_patch(found, LIVE))["metadata"]["labels"] == {}


NESTED = {"spec": {"rules": [{"from": [{"app": "a"}], "ports": [1]}, {"from": []}]}}


@pytest.mark.parametrize(
    ("after", "operations"),
    [
        (
            [{"from": [{"app": "b"}], "ports": [1]}, {"from": []}],
            [{"op": "replace", "path": "/spec/rules/0/from/0/app", "value": "b"}],
        ),
        (
            [{"from": [{"app": "a", "x/y": "c"}], "ports": [1]}, {"from": []}],
            [{"op": "add", "path": "/spec/rules/0/from/0/x~1y", "value": "c"}],
        ),
        (
            [{"from": [{"app": "a"}], "ports": [1]}, {"ports": [2]}],
            [{"op": "replace", "path": "/spec/rules/1", "value": {"ports": [2]}}],
        ),
    ],
    ids=["a value deep inside", "an entry deep inside", "an entry that goes"],
)
def test_no_more_of_a_value_is_replaced_than_differs(after, operations):
    path, before = ("spec", "rules"), NESTED["spec"]["rules"]
    patch = build_json_patch([differs(path, before, after)], NESTED)
    assert list(patch) == operations
    assert patched(NESTED, patch)["spec"]["rules"] == after


def test_a_value_of_which_only_a_part_was_compared_is_replaced_whole():
    part = list(NESTED["spec"]["rules"][:1])
    after = [{"from": [{"app": "b"}]}]
    assert build_json_patch([differs(("spec", "rules"), part, after)], NESTED) == (
        {"op": "replace", "path": "/spec/rules", "value": after},
    )
