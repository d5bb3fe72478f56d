"""The results of a server-side dry run: what admission changes in the objects of a plan."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from reconcile.core.changes import ABSENT
from reconcile.core.fields.diff import find_differences
from reconcile.core.fields.field_path import FieldPath, ListItem, format_path
from reconcile.core.fields.merge_schema import find_pod_specs, merge_schema_for
from reconcile.core.model import Kind, KubeObject, ObjectRef


@dataclass(frozen=True, slots=True)
class AdmissionChange:
    """One field that the server returns with another value than declared.

    `declared` is `ABSENT` if admission adds the field, `admitted` if it removes it.
    """

    path: str
    declared: Any
    admitted: Any


@dataclass(frozen=True, slots=True)
class AcceptedObject:
    """The server accepts the object as it is declared."""

    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class AlteredObject:
    """The server accepts the object, and admission changes or adds fields."""

    ref: ObjectRef
    fields: tuple[AdmissionChange, ...]


@dataclass(frozen=True, slots=True)
class RefusedObject:
    """The server refuses the object; `message` is its reason, which may contain secrets."""

    ref: ObjectRef
    message: str


@dataclass(frozen=True, slots=True)
class UntriedObject:
    """The object was not tried; `reason` says why."""

    ref: ObjectRef
    reason: str


AdmissionResult: TypeAlias = AcceptedObject | AlteredObject | RefusedObject | UntriedObject

_DERIVED_ANNOTATIONS: Final = (
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
)
"""Annotations that a server derives from a pod's own fields, without any admission."""


def compare_dry_run(
    kind: Kind, ref: ObjectRef, body: KubeObject, answer: KubeObject
) -> AdmissionResult:
    """Compare the applied body of an existing object with the answer to its dry run."""
    return _build_result(ref, (*_find_altered(kind, body, answer),))


def compare_dry_run_of_new(
    kind: Kind, ref: ObjectRef, body: KubeObject, answer: KubeObject
) -> AdmissionResult:
    """Compare a new object: admission has added all fields that are not declared.

    Only added labels, annotations, containers and environment variables are reported.
    """
    return _build_result(ref, (*_find_altered(kind, body, answer), *_find_added(body, answer)))


def _build_result(ref: ObjectRef, fields: tuple[AdmissionChange, ...]) -> AdmissionResult:
    return AlteredObject(ref, fields) if fields else AcceptedObject(ref)


def _find_altered(kind: Kind, body: KubeObject, answer: KubeObject) -> Iterator[AdmissionChange]:
    for difference in find_differences(merge_schema_for(kind), body, answer):
        if difference.after is not ABSENT and not difference.is_release:
            yield AdmissionChange(format_path(difference.path), difference.after, difference.before)


def _find_added(body: KubeObject, answer: KubeObject) -> Iterator[AdmissionChange]:
    for path in (("metadata", "labels"), ("metadata", "annotations")):
        yield from _new_entries(path, _value_at(body, path), _value_at(answer, path))
    for at, spec in find_pod_specs(answer):
        steps = tuple(step for step in at if isinstance(step, str))
        # In a list of pod templates it is not known which one is which.
        if len(steps) == len(at):
            for name in ("initContainers", "containers"):
                place = (*steps, name)
                yield from _new_containers(place, _value_at(body, place), spec.get(name))


def _new_entries(path: FieldPath, ours: Any, theirs: Any) -> Iterator[AdmissionChange]:
    declared = ours or {}
    for name, value in (theirs or {}).items():
        if name not in declared and not name.startswith(_DERIVED_ANNOTATIONS):
            yield AdmissionChange(format_path((*path, name)), ABSENT, value)


def _new_containers(path: FieldPath, ours: Any, theirs: Any) -> Iterator[AdmissionChange]:
    declared = _by_name(ours)
    for name, container in _by_name(theirs).items():
        place = (*path, ListItem((("name", name),)))
        if name not in declared:
            yield AdmissionChange(
                format_path((*place, "image")), ABSENT, container.get("image", "")
            )
        else:
            yield from _new_variables((*place, "env"), declared[name], container)


def _new_variables(
    path: FieldPath, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[AdmissionChange]:
    declared = _by_name(ours.get("env"))
    for name, entry in _by_name(theirs.get("env")).items():
        if name not in declared:
            yield AdmissionChange(format_path((*path, ListItem((("name", name),)))), ABSENT, entry)


def _by_name(items: Any) -> Mapping[str, Mapping[str, Any]]:
    """Key the items of a list; those of an operator's kind may have no name."""
    listed = items if isinstance(items, list) else ()
    return {item["name"]: item for item in listed if isinstance(item, Mapping) and "name" in item}


def _value_at(body: KubeObject, path: tuple[str, ...]) -> Any:
    value: Any = body
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
