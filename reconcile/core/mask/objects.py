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
    NameClass,
    SecretNameMatcher,
    SecretRegistry,
    is_digest,
    is_mark,
    is_ordinary_value,
    is_reference_name,
)
from reconcile.core.mask.text import SecretFinder

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


class Sensitivity(Enum):
    """How sensitive the value of a field is.

    STRUCTURE: a structure that Kubernetes defines. IDENTIFIER: a name in it, which is public.
    USER_KEYED: a map whose keys users choose. VARIABLES, HEADERS: those of a program or a request,
    as MCP servers have them. The others are secret: SECRET as plain text, BASE64_SECRET in base64,
    SECRET_REFERENCE if the name refers to a secret, so that the value is not searched for
    elsewhere, LAST_APPLIED a whole object as JSON.
    """

    STRUCTURE = auto()
    IDENTIFIER = auto()
    USER_KEYED = auto()
    VARIABLES = auto()
    HEADERS = auto()
    SECRET = auto()
    BASE64_SECRET = auto()
    SECRET_REFERENCE = auto()
    LAST_APPLIED = auto()

    @property
    def is_secret(self) -> bool:
        """Return whether every value in this field is masked."""
        return self.value >= Sensitivity.SECRET.value


SECRET_DATA: Final = {"data": Sensitivity.BASE64_SECRET, "stringData": Sensitivity.SECRET}
"""The fields of a Secret."""

_DATA: Final = frozenset({"data", "stringData", "binaryData"})
_FREE_FORM: Final = _DATA | {"annotations", "labels", "environmentVariables", "parameters"}

_IDENTIFIERS: Final = frozenset(
    {"apiVersion", "claimName", "fieldPath", "image", "key", "kind", "name", "namespace"}
    | {"priorityClassName", "secretName", "serviceAccountName", "topologyKey", "uid"}
)
"""Fields of objects that name something: a reviewer must always see them."""

_PARAMETERS: Final = {
    Sensitivity.VARIABLES: NameClass.REFERENCE,
    Sensitivity.HEADERS: NameClass.SECRET,
}
"""Maps of values that are often secret although their names do not say so, and how they are judged:
of the variables only random text is secret, of the headers all but switches and placeholders."""

_PARAMETER_MAPS: Final = {"env": Sensitivity.VARIABLES, "headers": Sensitivity.HEADERS}

_CREDENTIALS: Final = "credentials"
_KEYS: Final = "keys"
"""In an item of `credentials`, which names a Secret: the names of its keys."""

_SEGMENT: Final = re.compile(r"\[([^\]]*)\]|([^.\[]+)")


def classify_entry(
    parent: Sensitivity, key: str, value: Any, is_secret: SecretNameMatcher
) -> Sensitivity:
    """Return the sensitivity of `value` under `key` in a map of the sensitivity `parent`."""
    if parent.is_secret or parent is Sensitivity.IDENTIFIER:
        return parent
    if key == LAST_APPLIED:
        return Sensitivity.LAST_APPLIED
    if parent in _PARAMETERS:
        return _classify_parameter(parent, key, value, is_secret)
    if isinstance(value, Mapping) and key in _PARAMETER_MAPS:
        return _PARAMETER_MAPS[key]
    if parent is Sensitivity.USER_KEYED:
        return classify_name(key, value, is_secret)
    return _classify_field(key, value, is_secret)


def _classify_field(key: str, value: Any, is_secret: SecretNameMatcher) -> Sensitivity:
    if key in _FREE_FORM and isinstance(value, Mapping):
        return Sensitivity.USER_KEYED
    if key in _IDENTIFIERS and isinstance(value, str):
        return Sensitivity.IDENTIFIER
    hidden = isinstance(value, str) and not is_reference_name(key)
    named = classify_name(key, value, is_secret) if hidden else Sensitivity.STRUCTURE
    return named if named.is_secret else Sensitivity.STRUCTURE


def classify_name(name: str, value: Any, is_secret: SecretNameMatcher) -> Sensitivity:
    """Return the sensitivity of `value`, which has a user-defined name."""
    named = is_secret(name)
    if named is NameClass.PLAIN or is_ordinary_value(value, named):
        return Sensitivity.USER_KEYED
    return Sensitivity.SECRET_REFERENCE if is_reference_name(name) else Sensitivity.SECRET


def _classify_parameter(
    parent: Sensitivity, key: str, value: Any, is_secret: SecretNameMatcher
) -> Sensitivity:
    named = classify_name(key, value, is_secret)
    is_ordinary = not isinstance(value, str) or is_ordinary_value(value, _PARAMETERS[parent])
    return named if named.is_secret or is_ordinary else Sensitivity.SECRET


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
            return _classify_free_form(segments[position + 1 :], value, is_secret)
    if len(segments) > 1 and segments[-1] == "value":
        return classify_name(strip_brackets(segments[-2]), value, is_secret)
    parent = _classify_parent(segments) if isinstance(value, str) else Sensitivity.STRUCTURE
    return classify_entry(parent, strip_brackets(segments[-1]), value, is_secret)


def _classify_parent(segments: Sequence[str]) -> Sensitivity:
    """Return the sensitivity of the map, of a fixed name, that has the last segment as its key."""
    *above, parent = ("", *segments[:-1])
    if parent == _KEYS and _CREDENTIALS in above:
        return Sensitivity.IDENTIFIER
    return _PARAMETER_MAPS.get(parent, Sensitivity.STRUCTURE)


def _classify_free_form(
    rest: Sequence[str], value: Any, is_secret: SecretNameMatcher
) -> Sensitivity:
    # A key may contain dots, which cannot be distinguished from those of the path.
    key = ".".join(map(strip_brackets, rest))
    if key == LAST_APPLIED:
        return Sensitivity.LAST_APPLIED
    return classify_name(key, value, is_secret)


def strip_brackets(segment: str) -> str:
    """Return the key in a list segment: `A` of `[A]`."""
    return segment.removeprefix("[").removesuffix("]")


_MAX_DEPTH: Final = 64
_LOGIN: Final = ("login", "-u", "--user")
"""Items of a command in which `-p` gives a password."""

_OPTION: Final = re.compile(r"--?([A-Za-z][A-Za-z0-9_-]{0,99})")


class Visitor(Protocol):
    """Visits the leaves of an object; the returned value replaces the leaf."""

    def visit_secret(self, value: Any, sensitivity: Sensitivity) -> Any:
        """Visit the value of a secret field: a leaf, or a structure that is nested too deeply."""
        ...

    def visit_text(self, text: str) -> str:
        """Visit a text that is not in a secret field."""
        ...

    def visit_name(self, name: str) -> str:
        """Visit the key of a map, or the name of an object."""
        ...

    def visit_words(self, words: Sequence[str]) -> None:
        """Visit a list of texts, which may be a command, before its items."""
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
        return None if value is None else self._visit_leaf(value, sensitivity)

    def _visit_leaf(self, value: Any, sensitivity: Sensitivity) -> Any:
        if sensitivity.is_secret:
            return self.visitor.visit_secret(value, sensitivity)
        if not isinstance(value, str):
            return value
        is_name = sensitivity is Sensitivity.IDENTIFIER
        return self.visitor.visit_name(value) if is_name else self.visitor.visit_text(value)

    def _walk_mapping(
        self, value: Mapping[str, Any], sensitivity: Sensitivity, depth: int
    ) -> dict[str, Any]:
        special = self._classify_special(value, sensitivity)
        return {
            self.visitor.visit_name(str(key)): self.walk(
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
        if isinstance(value.get("secretName"), str) and isinstance(value.get(_KEYS), Mapping):
            return {_KEYS: Sensitivity.IDENTIFIER}
        name = value.get("name", value.get("key"))
        if "value" in value and isinstance(name, str):
            return {"value": classify_name(name, value["value"], self.is_secret)}
        return {}

    def _walk_sequence(
        self, value: Sequence[Any], sensitivity: Sensitivity, depth: int
    ) -> list[Any]:
        if not sensitivity.is_secret and all(isinstance(item, str) for item in value):
            self.visitor.visit_words(value)
        password_option = _find_password_option(value)
        before = (None, *value)
        return [
            self.walk(
                item,
                self._classify_next(previous, item, sensitivity)
                if previous != password_option
                else Sensitivity.SECRET,
                depth + 1,
            )
            for previous, item in zip(before, value, strict=False)
        ]

    def _classify_next(self, previous: Any, item: Any, sensitivity: Sensitivity) -> Sensitivity:
        """Return the sensitivity of the next list item: after `--token`, it is the value."""
        option = _OPTION.fullmatch(previous) if isinstance(previous, str) else None
        if sensitivity.is_secret or option is None or is_reference_name(option[1]):
            return sensitivity
        named = classify_name(option[1], item, self.is_secret)
        return named if named.is_secret else sensitivity


def _find_password_option(items: Sequence[Any]) -> str:
    """Return `-p` if it gives a password, as in a command that logs in; else an unused mark.

    In other commands it usually precedes a port or a path.
    """
    logs_in = "-p" in items and any(item in items for item in _LOGIN)
    return "-p" if logs_in else "\0"


@dataclass(frozen=True, slots=True)
class LearningVisitor:
    """Adds every secret to the registry and returns all values unchanged.

    With `is_declared`, the object is from a file, so its digests are not computed by a template.
    """

    is_secret: SecretNameMatcher
    registry: SecretRegistry
    find: SecretFinder
    is_declared: bool = False

    def visit_secret(self, value: Any, sensitivity: Sensitivity) -> Any:
        """Remember a value; make it searchable unless its name is only a reference."""
        self.registry.note_secret()
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
        if self.is_declared and is_digest(text):
            self.registry.add_declared_digest(text)
        for hit in self.find(text):
            self.registry.note_secret()
            if hit.is_certain:
                self.registry.add_searchable(text[hit.start : hit.end], text[hit.start : hit.end])
        self._learn_json(text)
        return text

    def visit_name(self, name: str) -> str:
        """Remember that a name is public."""
        self.registry.add_open(name)
        return name

    def visit_words(self, words: Sequence[str]) -> None:
        """Remember the secrets of a command: `curl`, `-u`, `user:password`."""
        command = " ".join(words)
        for hit in self.find(command) if len(words) > 1 else ():
            if hit.is_certain:
                secret = command[hit.start : hit.end]
                self.registry.note_secret()
                self.registry.add_searchable(secret, secret)

    def _learn_json(self, text: str) -> None:
        if text[:1] not in {"{", "["}:
            return
        try:
            parsed = orjson.loads(text)
        except orjson.JSONDecodeError:
            return
        is_kubernetes = isinstance(parsed, dict) and "kind" in parsed
        sensitivity = Sensitivity.STRUCTURE if is_kubernetes else Sensitivity.USER_KEYED
        ObjectWalker(self.is_secret, self).walk(parsed, sensitivity)


@dataclass(frozen=True, slots=True)
class MaskingVisitor:
    """Replaces secrets by marks."""

    registry: SecretRegistry
    mask_text: Callable[[str], str]
    mask_name: Callable[[str], str]

    def visit_secret(self, value: Any, sensitivity: Sensitivity) -> Any:
        """Return the value's mark."""
        if isinstance(value, str) and is_mark(value):
            return value
        return self.registry.mark_of(secret_identity(value, sensitivity))

    def visit_text(self, text: str) -> str:
        """Return the text with its secrets replaced by marks."""
        if self.registry.is_revealing_digest(text):
            return self.registry.mark_of(text)
        return self.mask_text(text)

    def visit_name(self, name: str) -> str:
        """Return the name; only what has the format of a token is replaced."""
        return self.mask_name(name)

    def visit_words(self, words: Sequence[str]) -> None:
        """Do nothing: the secrets of a command have been learned."""


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
