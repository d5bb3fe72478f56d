"""One walk over an object's leaves, for learning its secrets and for hiding them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from reconcile.core.mask.names import IsSecret, is_reference
from reconcile.core.mask.objects import SECRET_DATA, Place, below, named

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
