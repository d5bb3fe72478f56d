"""What admission makes of the objects of a plan, as the answers to a server's dry run tell."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from reconcile.core.changes import ABSENT
from reconcile.core.fields.diff import differences
from reconcile.core.fields.field_path import Item, Path, show
from reconcile.core.fields.merge_schema import schema_of
from reconcile.core.model import Kind, KubeObject, ObjectRef


@dataclass(frozen=True, slots=True)
class Alteration:
    """One field that comes back otherwise than we declare it.

    `declared` is `ABSENT` for what admission adds, `admitted` for what it takes away.
    """

    path: str
    declared: Any
    admitted: Any


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server takes the object as it is declared."""

    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class Altered:
    """The server takes the object, and admission changes what we declare or adds of note."""

    ref: ObjectRef
    fields: tuple[Alteration, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The server would not take the object; `message` is its reason, with secrets in it."""

    ref: ObjectRef
    message: str


@dataclass(frozen=True, slots=True)
class NotTried:
    """What the server would say cannot be known yet, and why."""

    ref: ObjectRef
    why: str


Admission: TypeAlias = Accepted | Altered | Refused | NotTried

_MIRRORED: Final = (
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
)
"""Annotations that a server derives from a pod's own fields; no admission is behind them."""

_POD_SPECS: Final[tuple[tuple[str, ...], ...]] = (
    ("spec",),
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
)
"""Where the kinds that run something have their containers."""


def admitted(kind: Kind, ref: ObjectRef, body: KubeObject, answer: KubeObject) -> Admission:
    """Compare what was applied with what a dry run answered."""
    return _told(ref, (*_changed(kind, body, answer),))


def admitted_new(kind: Kind, ref: ObjectRef, body: KubeObject, answer: KubeObject) -> Admission:
    """Do the same for an object that was not there: whatever else it has, admission has added.

    Of that only what people ask about is told: labels, annotations, containers, variables.
    """
    return _told(ref, (*_changed(kind, body, answer), *_added(body, answer)))


def _told(ref: ObjectRef, found: tuple[Alteration, ...]) -> Admission:
    return Altered(ref, found) if found else Accepted(ref)


def _changed(kind: Kind, body: KubeObject, answer: KubeObject) -> Iterator[Alteration]:
    for difference in differences(schema_of(kind), body, answer):
        if difference.after is not ABSENT and not difference.is_release:
            yield Alteration(show(difference.path), difference.after, difference.before)


def _added(body: KubeObject, answer: KubeObject) -> Iterator[Alteration]:
    for path in (("metadata", "labels"), ("metadata", "annotations")):
        yield from _new_entries(path, _at(body, path), _at(answer, path))
    for spec in _POD_SPECS:
        for name in ("initContainers", "containers"):
            place = (*spec, name)
            yield from _new_containers(place, _at(body, place), _at(answer, place))


def _new_entries(path: Path, ours: Any, theirs: Any) -> Iterator[Alteration]:
    known = ours or {}
    for name, value in (theirs or {}).items():
        if name not in known and not name.startswith(_MIRRORED):
            yield Alteration(show((*path, name)), ABSENT, value)


def _new_containers(path: Path, ours: Any, theirs: Any) -> Iterator[Alteration]:
    known = _by_name(ours)
    for name, container in _by_name(theirs).items():
        place = (*path, Item((("name", name),)))
        if name not in known:
            yield Alteration(show((*place, "image")), ABSENT, container.get("image", ""))
        else:
            yield from _new_variables((*place, "env"), known[name], container)


def _new_variables(
    path: Path, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[Alteration]:
    known = _by_name(ours.get("env"))
    for name, entry in _by_name(theirs.get("env")).items():
        if name not in known:
            yield Alteration(show((*path, Item((("name", name),)))), ABSENT, entry)


def _by_name(items: Any) -> Mapping[str, Mapping[str, Any]]:
    return {item["name"]: item for item in items or ()}


def _at(body: KubeObject, path: tuple[str, ...]) -> Any:
    found: Any = body
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
