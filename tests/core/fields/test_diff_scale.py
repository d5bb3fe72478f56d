"""Comparing takes time in proportion to the number of entries, whatever differs."""

import sys

import pytest

from reconcile.core.fields.diff import build_json_patch, find_differences
from reconcile.core.fields.merge_schema import merge_schema_for
from tests.builders import body, config_map, container, live, manage, manifest, pod

FEW = 300
FACTOR = 4


def calls_of(function):
    """The number of Python calls that a function makes, which does not depend on the machine."""
    count = 0

    def profile(_frame, event, _argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def variables(number, value):
    return [{"name": f"A{index}", "value": value} for index in range(number)]


def changed_variables(number):
    return (
        pod(containers=[container(env=variables(number, "x"))]),
        pod(containers=[container(env=variables(number, "y"))]),
    )


def removed_variables(number):
    return pod(containers=[container(env=variables(number, "x"))]), pod()


def changed_data(number):
    before = {f"a{index}": "x" for index in range(number)}
    return config_map(data=before), config_map(data=dict.fromkeys(before, "y"))


def listed(number, value):
    items = [{"name": f"a{index}", "value": value} for index in range(number)]
    return body("Queue", "q", "example.org/v1", spec={"items": items})


def differences_of(before, after, prepare=lambda obj: obj):
    obj, wanted = prepare(live(manifest(before))), manifest(after)
    schema = merge_schema_for(wanted.kind)

    def compare():
        build_json_patch(find_differences(schema, wanted.body, obj), obj)

    return compare


def keyed_by_name(obj):
    """The object of a kind whose list is keyed, which only its managedFields say."""
    items = {f'k:{{"name":"{item["name"]}"}}': {".": {}} for item in obj["spec"]["items"]}
    fields = {"f:spec": {"f:items": items}}
    return manage(obj, "reconcile", fields, operation="Apply")


@pytest.mark.parametrize("pair", [changed_variables, removed_variables, changed_data])
def test_many_changes_take_time_in_proportion(pair):
    few = calls_of(differences_of(*pair(FEW)))
    many = calls_of(differences_of(*pair(FACTOR * FEW)))
    assert many < 1.5 * FACTOR * few


def test_lists_of_unknown_kinds_take_time_in_proportion():
    few, many = (
        calls_of(differences_of(listed(number, "x"), listed(number, "y"), keyed_by_name))
        for number in (FEW, FACTOR * FEW)
    )
    assert many < 1.5 * FACTOR * few
