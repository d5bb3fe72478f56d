"""Remembers what admission made of declared values, so that it is neither drift nor a change.

A mutating webhook may rewrite an image or raise a request whenever an object is written. The
session's Record has, for each such field, a digest of the value that was sent and the value that
was stored. While both are the same, the stored value counts as the declared one: in comparisons,
and in the body of a patch, which must not try to change it back.

The object itself could not remember it: who may change a value there could also have the change
pass for one of admission, and neither managedFields nor the names of managers prove who wrote.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, assert_never

from reconcile.core.canonical_json import compute_digest
from reconcile.core.changes import ABSENT
from reconcile.core.fields.diff import Difference, covers, find_differences
from reconcile.core.fields.field_path import FieldPath, ListItem, SetMember
from reconcile.core.fields.managed_fields import serialize_segment
from reconcile.core.fields.merge_schema import merge_schema_for
from reconcile.core.model import KubeObject, Manifest, build_record_ref
from reconcile.core.record import AdmittedValues

_DIGEST_LENGTH: Final = len("sha256:") + 16


def find_admitted_values(manifest: Manifest, stored: KubeObject) -> AdmittedValues:
    """Find what admission changed, in the response to the write of a manifest.

    Of Secrets nothing is remembered: a digest would let readers of the Record try values.
    """
    is_record = manifest.ref == build_record_ref(manifest.session)
    if is_record or manifest.kind.name == "Secret":
        return {}
    return {
        _format_key(difference.path): _compute_digest(stored, difference)
        for difference in _find_changed_values(manifest, stored)
    }


def accept_admitted_values(
    manifest: Manifest, live: KubeObject, admitted: AdmittedValues
) -> Manifest:
    """Return the manifest with the stored values of fields that admission changed."""
    if not admitted:
        return manifest
    body = manifest.body
    for difference in _find_changed_values(manifest, live):
        if admitted.get(_format_key(difference.path)) == _compute_digest(live, difference):
            body = _replace_value(body, difference.path, difference.before)
    return replace(manifest, body=body)


def _find_changed_values(manifest: Manifest, stored: KubeObject) -> Iterator[Difference]:
    schema = merge_schema_for(manifest.kind)
    if not covers(schema, manifest.body, stored):
        for difference in find_differences(schema, manifest.body, stored):
            if difference.after is not ABSENT and not difference.is_release:
                yield difference


def _format_key(path: FieldPath) -> str:
    return "/".join(map(serialize_segment, path))


def _compute_digest(stored: KubeObject, difference: Difference) -> str:
    """Digest both values with the UID, which those who only read the Record do not know."""
    values = [[] if value is ABSENT else [value] for value in (difference.after, difference.before)]
    return compute_digest([stored["metadata"]["uid"], *values])[:_DIGEST_LENGTH]


def _replace_value(value: Any, path: FieldPath, new: Any) -> Any:
    """Return a copy of a body in which the value at a path is replaced, or removed if absent."""
    (segment, *rest) = path
    match segment:
        case str() if not rest and new is ABSENT:
            return {name: child for name, child in value.items() if name != segment}
        case str():
            child = _replace_value(value[segment], tuple(rest), new) if rest else new
            return {**value, segment: child}
        case ListItem():
            return [
                each
                for item in value
                for each in (_replace_item(item, rest, new) if segment.matches(item) else [item])
            ]
        case SetMember(member):
            return [item for item in value if item != member]
        case _:
            assert_never(segment)


def _replace_item(item: Any, rest: list[Any], new: Any) -> list[Any]:
    if rest:
        return [_replace_value(item, tuple(rest), new)]
    return [] if new is ABSENT else [new]
