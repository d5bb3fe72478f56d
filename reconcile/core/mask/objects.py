"""What a place in an object says about the value that stands there."""

import re
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final

from reconcile.core.mask.names import IsSecret, is_reference

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
