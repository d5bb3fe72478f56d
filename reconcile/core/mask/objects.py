"""What a place in an object says about the value that stands there.

One walk over an object's leaves, for learning its secrets and for hiding them.

What a walk does at an object's leaves: learn the secrets, or put marks in their place.
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

from reconcile.core.mask.known_secrets import IsSecret, Vault, is_mark, is_reference
from reconcile.core.mask.text import Finder

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


class Place(Enum):
    """What stands in a place of an object.

    OPEN: a structure of Kubernetes' own. NAMED: a map whose keys people choose. The others are
    secret: SEALED as it is, ENCODED in base64, SPOKEN_OF where the name points at something that is
    not secret in itself and is not hunted for elsewhere, APPLIED a whole object as JSON.
    """

    OPEN = auto()
    NAMED = auto()
    SEALED = auto()
    ENCODED = auto()
    SPOKEN_OF = auto()
    APPLIED = auto()

    @property
    def is_secret(self) -> bool:
        """Tell whether whatever stands here is hidden."""
        return self not in {Place.OPEN, Place.NAMED}


SECRET_DATA: Final = {"data": Place.ENCODED, "stringData": Place.SEALED}
"""The fields of a Secret."""

_DATA: Final = frozenset({"data", "stringData", "binaryData"})
_FREE_FORM: Final = _DATA | {"annotations", "labels", "environmentVariables", "parameters"}

_SEGMENT: Final = re.compile(r"\[([^\]]*)\]|([^.\[]+)")


def below(place: Place, key: str, value: Any, is_secret: IsSecret) -> Place:
    """The place of `value`, which stands under `key` in a map that is itself at `place`."""
    if place.is_secret:
        return place
    if key == LAST_APPLIED:
        return Place.APPLIED
    if place is Place.NAMED:
        return named(key, is_secret)
    if key in _FREE_FORM and isinstance(value, Mapping):
        return Place.NAMED
    hidden = isinstance(value, str) and is_secret(key) and not is_reference(key)
    return Place.SEALED if hidden else Place.OPEN


def named(name: str, is_secret: IsSecret) -> Place:
    """The place of a value to which people gave this name."""
    if not is_secret(name):
        return Place.NAMED
    return Place.SPOKEN_OF if is_reference(name) else Place.SEALED


def path_segments(path: str) -> tuple[str, ...]:
    """Take a path for people apart: `spec.env[A].value`; list keys keep their brackets."""
    return tuple(match[0] for match in _SEGMENT.finditer(path))


def pointer_segments(pointer: str) -> tuple[str, ...]:
    """Take a JSON pointer apart: `/spec/env/3/value`."""
    parts = pointer.split("/")[1:]
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def locate(kind: str, segments: Sequence[str], value: Any, is_secret: IsSecret) -> Place:
    """The place of `value`, which stands where `segments` lead to in an object of `kind`."""
    if not segments:
        return Place.OPEN
    if kind == "Secret" and segments[0] in SECRET_DATA:
        return SECRET_DATA[segments[0]]
    for position, segment in enumerate(segments):
        if segment in _FREE_FORM and (position == 0 or segment not in _DATA):
            return _in_free_form(segments[position + 1 :], is_secret)
    if len(segments) > 1 and segments[-1] == "value":
        return named(_bare(segments[-2]), is_secret)
    return below(Place.OPEN, _bare(segments[-1]), value, is_secret)


def _in_free_form(rest: Sequence[str], is_secret: IsSecret) -> Place:
    # A key may hold dots, which a path for people does not tell from its own.
    key = ".".join(map(_bare, rest))
    if key == LAST_APPLIED:
        return Place.APPLIED
    return named(key, is_secret)


def _bare(segment: str) -> str:
    return segment.removeprefix("[").removesuffix("]")


_DEEPEST: Final = 64
_OPTION: Final = re.compile(r"--?([A-Za-z][A-Za-z0-9_-]{0,99})")


class Visitor(Protocol):
    """What is done at the leaves; what is returned takes the leaf's place."""

    def secret(self, value: Any, place: Place) -> Any:
        """Visit a value in a secret place: a leaf, or a structure too deep to be walked."""
        ...

    def plain(self, text: str) -> str:
        """Visit a text, or the key of a map, in a place that is not secret."""
        ...


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk with one visitor; it copies what it walks over."""

    is_secret: IsSecret
    visitor: Visitor

    def over(self, value: Any, place: Place, depth: int = 0) -> Any:
        """Copy `value`, which stands at `place`, with every leaf as the visitor returns it."""
        if depth > _DEEPEST:
            return self.visitor.secret(value, Place.SPOKEN_OF)
        if isinstance(value, Mapping):
            return self._mapping(value, place, depth)
        if isinstance(value, Sequence) and not isinstance(value, str):
            return self._sequence(value, place, depth)
        if value is None:
            return None
        if place.is_secret:
            return self.visitor.secret(value, place)
        return self.visitor.plain(value) if isinstance(value, str) else value

    def _mapping(self, value: Mapping[str, Any], place: Place, depth: int) -> dict[str, Any]:
        places = self._special(value, place)
        return {
            self.visitor.plain(str(key)): self.over(
                item, places.get(key) or below(place, str(key), item, self.is_secret), depth + 1
            )
            for key, item in value.items()
        }

    def _special(self, value: Mapping[str, Any], place: Place) -> Mapping[str, Place]:
        """The places that follow from a map as a whole: a Secret, or an entry with a name."""
        if place.is_secret:
            return {}
        if value.get("kind") == "Secret":
            return SECRET_DATA
        name = value.get("name")
        if "value" in value and isinstance(name, str):
            return {"value": named(name, self.is_secret)}
        return {}

    def _sequence(self, value: Sequence[Any], place: Place, depth: int) -> list[Any]:
        before = (None, *value)
        return [
            self.over(item, self._after(previous, place), depth + 1)
            for previous, item in zip(before, value, strict=False)
        ]

    def _after(self, previous: Any, place: Place) -> Place:
        """The place of what follows in a list: of `--token`, the next entry is the value."""
        option = _OPTION.fullmatch(previous) if isinstance(previous, str) else None
        if place.is_secret or option is None or is_reference(option[1]):
            return place
        return Place.SEALED if self.is_secret(option[1]) else place


@dataclass(frozen=True, slots=True)
class Learner:
    """Puts every secret into the vault and returns all as it is."""

    is_secret: IsSecret
    vault: Vault
    find: Finder

    def secret(self, value: Any, place: Place) -> Any:
        """Note a value, and hunt for it everywhere where its place makes that worthwhile."""
        if not isinstance(value, str) or is_mark(value):
            return value
        value_itself = canonical(value, place)
        self.vault.seal(value)
        self.vault.seal(value_itself)
        if place in {Place.SEALED, Place.ENCODED}:
            self.vault.remember(value_itself, value)
        self._learn_json(value_itself)
        return value

    def plain(self, text: str) -> str:
        """Note what a text surely holds, and what a JSON document in it holds."""
        for hit in self.find(text):
            if hit.certain:
                self.vault.remember(text[hit.start : hit.end], text[hit.start : hit.end])
        self._learn_json(text)
        return text

    def _learn_json(self, text: str) -> None:
        if text[:1] not in {"{", "["}:
            return
        try:
            parsed = orjson.loads(text)
        except orjson.JSONDecodeError:
            return
        Walk(self.is_secret, self).over(parsed, Place.OPEN)


@dataclass(frozen=True, slots=True)
class Hider:
    """Returns marks for secrets."""

    vault: Vault
    hide: Callable[[str], str]

    def secret(self, value: Any, place: Place) -> Any:
        """Give the value's mark."""
        if isinstance(value, str) and is_mark(value):
            return value
        return self.vault.mark(canonical(value, place))

    def plain(self, text: str) -> str:
        """Give the text with marks in it."""
        return self.hide(text)


def canonical(value: Any, place: Place) -> str:
    """What a value is numbered by, so that it is known again whether it is encoded or not."""
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return "\0structure"
    if not isinstance(value, str):
        return f"\0{json.dumps(value)}"
    return _decoded(value) if place is Place.ENCODED else value


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return value
