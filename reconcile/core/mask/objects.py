"""Finds the secrets of Kubernetes objects: the sensitivity of each field, and a walk over them.

The position of a value in an object decides its sensitivity. One walk visits an object's leaves,
either to learn its secrets or to replace them by marks.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, Protocol

import orjson

from reconcile.core.mask.known_secrets import (
    SecretNameMatcher,
    SecretRegistry,
    is_mark,
    is_reference_name,
)
from reconcile.core.mask.text import SecretFinder

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


class Sensitivity(Enum):
    """How sensitive the value of a field is.

    STRUCTURE: a structure that Kubernetes defines. USER_KEYED: a map whose keys users choose. The
    others are secret: SECRET as plain text, BASE64_SECRET in base64, SECRET_REFERENCE if the name
    refers to a secret, so that the value is not searched for elsewhere, LAST_APPLIED a whole object
    as JSON.
    """

    STRUCTURE = auto()
    USER_KEYED = auto()
    SECRET = auto()
    BASE64_SECRET = auto()
    SECRET_REFERENCE = auto()
    LAST_APPLIED = auto()

    @property
    def is_secret(self) -> bool:
        """Return whether every value in this field is masked."""
        return self not in {Sensitivity.STRUCTURE, Sensitivity.USER_KEYED}


SECRET_DATA: Final = {"data": Sensitivity.BASE64_SECRET, "stringData": Sensitivity.SECRET}
"""The fields of a Secret."""

_DATA: Final = frozenset({"data", "stringData", "binaryData"})
_FREE_FORM: Final = _DATA | {"annotations", "labels", "environmentVariables", "parameters"}

_SEGMENT: Final = re.compile(r"\[([^\]]*)\]|([^.\[]+)")


def classify_entry(
    parent: Sensitivity, key: str, value: Any, is_secret: SecretNameMatcher
) -> Sensitivity:
    """Return the sensitivity of `value` under `key` in a map of the sensitivity `parent`."""
    if parent.is_secret:
        return parent
    if key == LAST_APPLIED:
        return Sensitivity.LAST_APPLIED
    if parent is Sensitivity.USER_KEYED:
        return classify_name(key, is_secret)
    if key in _FREE_FORM and isinstance(value, Mapping):
        return Sensitivity.USER_KEYED
    hidden = isinstance(value, str) and is_secret(key) and not is_reference_name(key)
    return Sensitivity.SECRET if hidden else Sensitivity.STRUCTURE


def classify_name(name: str, is_secret: SecretNameMatcher) -> Sensitivity:
    """Return the sensitivity of a value with a user-defined name."""
    if not is_secret(name):
        return Sensitivity.USER_KEYED
    return Sensitivity.SECRET_REFERENCE if is_reference_name(name) else Sensitivity.SECRET


def split_field_path(path: str) -> tuple[str, ...]:
    """Split a field path such as `spec.env[A].value`; list keys keep their brackets."""
    return tuple(match[0] for match in _SEGMENT.finditer(path))


def split_json_pointer(pointer: str) -> tuple[str, ...]:
    """Split a JSON pointer such as `/spec/env/3/value`."""
    parts = pointer.split("/")[1:]
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def classify_path(
    kind: str, segments: Sequence[str], value: Any, is_secret: SecretNameMatcher
) -> Sensitivity:
    """Return the sensitivity of `value` at the path `segments` in an object of `kind`."""
    if not segments:
        return Sensitivity.STRUCTURE
    if kind == "Secret" and segments[0] in SECRET_DATA:
        return SECRET_DATA[segments[0]]
    for position, segment in enumerate(segments):
        if segment in _FREE_FORM and (position == 0 or segment not in _DATA):
            return _classify_free_form(segments[position + 1 :], is_secret)
    if len(segments) > 1 and segments[-1] == "value":
        return classify_name(_strip_brackets(segments[-2]), is_secret)
    return classify_entry(Sensitivity.STRUCTURE, _strip_brackets(segments[-1]), value, is_secret)


def _classify_free_form(rest: Sequence[str], is_secret: SecretNameMatcher) -> Sensitivity:
    # A key may contain dots, which cannot be distinguished from those of the path.
    key = ".".join(map(_strip_brackets, rest))
    if key == LAST_APPLIED:
        return Sensitivity.LAST_APPLIED
    return classify_name(key, is_secret)


def _strip_brackets(segment: str) -> str:
    return segment.removeprefix("[").removesuffix("]")


_MAX_DEPTH: Final = 64
_OPTION: Final = re.compile(r"--?([A-Za-z][A-Za-z0-9_-]{0,99})")


class Visitor(Protocol):
    """Visits the leaves of an object; the returned value replaces the leaf."""

    def visit_secret(self, value: Any, sensitivity: Sensitivity) -> Any:
        """Visit the value of a secret field: a leaf, or a structure that is nested too deeply."""
        ...

    def visit_text(self, text: str) -> str:
        """Visit a text or the key of a map that is not in a secret field."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectWalker:
    """Walks over an object with one visitor and returns a copy."""

    is_secret: SecretNameMatcher
    visitor: Visitor

    def walk(self, value: Any, sensitivity: Sensitivity, depth: int = 0) -> Any:
        """Copy `value`, which has this sensitivity, with every leaf replaced by the visitor."""
        if depth > _MAX_DEPTH:
            return self.visitor.visit_secret(value, Sensitivity.SECRET_REFERENCE)
        if isinstance(value, Mapping):
            return self._walk_mapping(value, sensitivity, depth)
        if isinstance(value, Sequence) and not isinstance(value, str):
            return self._walk_sequence(value, sensitivity, depth)
        if value is None:
            return None
        if sensitivity.is_secret:
            return self.visitor.visit_secret(value, sensitivity)
        return self.visitor.visit_text(value) if isinstance(value, str) else value

    def _walk_mapping(
        self, value: Mapping[str, Any], sensitivity: Sensitivity, depth: int
    ) -> dict[str, Any]:
        special = self._classify_special(value, sensitivity)
        return {
            self.visitor.visit_text(str(key)): self.walk(
                item,
                special.get(key) or classify_entry(sensitivity, str(key), item, self.is_secret),
                depth + 1,
            )
            for key, item in value.items()
        }

    def _classify_special(
        self, value: Mapping[str, Any], sensitivity: Sensitivity
    ) -> Mapping[str, Sensitivity]:
        """Return the sensitivities that a map as a whole implies: a Secret, or a named entry."""
        if sensitivity.is_secret:
            return {}
        if value.get("kind") == "Secret":
            return SECRET_DATA
        name = value.get("name")
        if "value" in value and isinstance(name, str):
            return {"value": classify_name(name, self.is_secret)}
        return {}

    def _walk_sequence(
        self, value: Sequence[Any], sensitivity: Sensitivity, depth: int
    ) -> list[Any]:
        before = (None, *value)
        return [
            self.walk(item, self._classify_next(previous, sensitivity), depth + 1)
            for previous, item in zip(before, value, strict=False)
        ]

    def _classify_next(self, previous: Any, sensitivity: Sensitivity) -> Sensitivity:
        """Return the sensitivity of the next list item: after `--token`, it is the value."""
        option = _OPTION.fullmatch(previous) if isinstance(previous, str) else None
        if sensitivity.is_secret or option is None or is_reference_name(option[1]):
            return sensitivity
        return Sensitivity.SECRET if self.is_secret(option[1]) else sensitivity


@dataclass(frozen=True, slots=True)
class LearningVisitor:
    """Adds every secret to the registry and returns all values unchanged."""

    is_secret: SecretNameMatcher
    registry: SecretRegistry
    find: SecretFinder

    def visit_secret(self, value: Any, sensitivity: Sensitivity) -> Any:
        """Remember a value; make it searchable unless its name is only a reference."""
        if not isinstance(value, str) or is_mark(value):
            return value
        identity = secret_identity(value, sensitivity)
        self.registry.add_exact(value)
        self.registry.add_exact(identity)
        if sensitivity in {Sensitivity.SECRET, Sensitivity.BASE64_SECRET}:
            self.registry.add_searchable(identity, value)
        self._learn_json(identity)
        return value

    def visit_text(self, text: str) -> str:
        """Remember the certain secrets in a text, and those of a JSON document in it."""
        for hit in self.find(text):
            if hit.is_certain:
                self.registry.add_searchable(text[hit.start : hit.end], text[hit.start : hit.end])
        self._learn_json(text)
        return text

    def _learn_json(self, text: str) -> None:
        if text[:1] not in {"{", "["}:
            return
        try:
            parsed = orjson.loads(text)
        except orjson.JSONDecodeError:
            return
        ObjectWalker(self.is_secret, self).walk(parsed, Sensitivity.STRUCTURE)


@dataclass(frozen=True, slots=True)
class MaskingVisitor:
    """Replaces secrets by marks."""

    registry: SecretRegistry
    mask_text: Callable[[str], str]

    def visit_secret(self, value: Any, sensitivity: Sensitivity) -> Any:
        """Return the value's mark."""
        if isinstance(value, str) and is_mark(value):
            return value
        return self.registry.mark_of(secret_identity(value, sensitivity))

    def visit_text(self, text: str) -> str:
        """Return the text with its secrets replaced by marks."""
        return self.mask_text(text)


def secret_identity(value: Any, sensitivity: Sensitivity) -> str:
    """Return the text that identifies a value, the same for its plain and its encoded form."""
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return "\0structure"
    if not isinstance(value, str):
        return f"\0{json.dumps(value)}"
    return _decode_base64(value) if sensitivity is Sensitivity.BASE64_SECRET else value


def _decode_base64(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return value
