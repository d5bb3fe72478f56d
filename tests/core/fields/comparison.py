"""Comparison of a declared and a live object."""

from reconcile.core.fields.diff import build_json_patch, find_differences
from reconcile.core.fields.field_path import format_path
from reconcile.core.fields.merge_schema import merge_schema_for
from tests.builders import (
    container,
    manifest,
    pod,
)

ENV_A = {"name": "A", "value": "1"}
ENV_B = {"name": "B", "value": "2"}


def in_container(**fields):
    return pod(containers=[container(**fields)])


def differ(after, obj):
    """The differences and the JSON Patch, both without the digest annotation."""
    wanted = manifest(after)
    differences = [
        each
        for each in find_differences(merge_schema_for(wanted.kind), wanted.body, obj)
        if "digest" not in format_path(each.path)
    ]
    return [
        (format_path(each.path), each.before, each.after) for each in differences
    ], build_json_patch(differences, obj)


RUNNER = "spec.containers[runner]"
POINTER = "/spec/containers/0"
