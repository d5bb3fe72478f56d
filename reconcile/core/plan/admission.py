"""Remembers what admission made of declared values, so that it is neither drift nor a change.

A mutating webhook may rewrite an image or raise a request whenever an object is written. The
annotation has, for each such field, the digests of the value that was sent and of the value that
was stored. While both are the same, the stored value counts as the declared one: in comparisons,
and in the body of a patch, which must not try to change it back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias, assert_never

import orjson

from reconcile.core.canonical_json import compute_digest
from reconcile.core.changes import ABSENT
from reconcile.core.fields.diff import Difference, covers, find_differences
from reconcile.core.fields.field_path import FieldPath, ListItem, SetMember
from reconcile.core.fields.managed_fields import serialize_segment
from reconcile.core.fields.merge_schema import merge_schema_for
from reconcile.core.model import KubeObject, Manifest, build_record_ref

ANNOTATION_ADMISSION: Final = "reconcile.ambient-code.io/admission"
ADMISSION_FIELD_MANAGER: Final = "reconcile-admission"
"""The manager of the annotation: as ours it would have to be in every body that we apply."""

_DIGEST_LENGTH: Final = len("sha256:") + 16

AdmittedValues: TypeAlias = Mapping[str, tuple[str, str]]
"""The digests of the sent and the stored value, by the path of the field."""


def find_admitted_values(manifest: Manifest, stored: KubeObject) -> AdmittedValues:
    """Find what admission changed, in the response to the write of a manifest.

    Of Secrets nothing is remembered: a digest would let readers of the annotation try values.
    """
    is_record = manifest.ref == build_record_ref(manifest.session)
    if is_record or manifest.kind.name == "Secret":
        return {}
    return {
        _format_key(difference.path): _digests(difference)
        for difference in _find_changed_values(manifest, stored)
    }


def read_admitted_values(live: KubeObject) -> AdmittedValues:
    """Read the annotation of an object; a damaged one is empty."""
    text = (live["metadata"].get("annotations") or {}).get(ANNOTATION_ADMISSION, "{}")
    try:
        values = orjson.loads(text)
        return {str(key): (str(sent), str(stored)) for key, (sent, stored) in values.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def build_admission_body(manifest: Manifest, uid: str, values: AdmittedValues) -> dict[str, Any]:
    """Build the body that the admission manager applies to the object with this UID."""
    text = orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()
    return {
        "apiVersion": manifest.body["apiVersion"],
        "kind": manifest.body["kind"],
        "metadata": {
            "name": manifest.ref.name,
            "namespace": manifest.ref.namespace,
            "uid": uid,
            "annotations": {ANNOTATION_ADMISSION: text},
        },
    }


def accept_admitted_values(manifest: Manifest, live: KubeObject) -> Manifest:
    """Return the manifest with the stored values of fields that admission changed."""
    remembered = read_admitted_values(live)
    if not remembered:
        return manifest
    body = manifest.body
    for difference in _find_changed_values(manifest, live):
        if remembered.get(_format_key(difference.path)) == _digests(difference):
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


def _digests(difference: Difference) -> tuple[str, str]:
    return _digest(difference.after), _digest(difference.before)


def _digest(value: Any) -> str:
    return "" if value is ABSENT else compute_digest(value)[:_DIGEST_LENGTH]


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
