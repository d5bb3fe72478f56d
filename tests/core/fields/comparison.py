"""A declared and a live object, compared."""

from reconcile.core.fields.diff import differences, json_patch
from reconcile.core.fields.field_path import show
from reconcile.core.fields.merge_schema import schema_of
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
    """The differences and the JSON Patch, both but for the digest."""
    wanted = manifest(after)
    found = [
        each
        for each in differences(schema_of(wanted.kind), wanted.body, obj)
        if "digest" not in show(each.path)
    ]
    return [(show(each.path), each.before, each.after) for each in found], json_patch(found, obj)


RUNNER = "spec.containers[runner]"
POINTER = "/spec/containers/0"
