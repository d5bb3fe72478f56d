import pytest

from reconcile.core.changes import ABSENT
from reconcile.core.fields.claims import NOBODYS
from reconcile.core.fields.differences import Difference
from reconcile.core.fields.operations import json_patch
from reconcile.core.fields.path import Item, Member
from tests.jsonpatch import patched

LIVE = {
    "metadata": {"labels": {"9": "a", "10": "b", "²": "c"}, "finalizers": ["x", "y"]},
    "spec": {"env": [{"name": name} for name in "ABCDEFGHIJKLM"], "args": ["a"]},
}


def env(name):
    return ("spec", "env", Item((("name", name),)))


def differs(path, before, after):
    return Difference(path, before, after, NOBODYS)


def test_additions_changes_and_removals_are_told_apart():
    assert json_patch(
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
    assert json_patch([differs(("spec", "args"), ["a"], ["a"])], LIVE) == ()


@pytest.mark.parametrize("names", ["ABC", "BKL", "LCA", "KB"])
def test_removals_go_from_the_back_so_that_indices_hold(names):
    found = [differs(env(name), {"name": name}, ABSENT) for name in names]
    found.append(differs(("metadata", "finalizers", Member("x")), "x", ABSENT))
    result = patched(LIVE, json_patch(found, LIVE))
    assert [item["name"] for item in result["spec"]["env"]] == [
        name for name in "ABCDEFGHIJKLM" if name not in names
    ]
    assert result["metadata"]["finalizers"] == ["y"]


def test_names_that_look_like_numbers_are_no_trouble():
    found = [differs(("metadata", "labels", name), "", ABSENT) for name in ("9", "10", "²")]
    assert patched(LIVE, json_patch(found, LIVE))["metadata"]["labels"] == {}
