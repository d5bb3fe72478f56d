"""What a walk does at an object's leaves: learn the secrets, or put marks in their place."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from reconcile.core.mask.known_secrets import Vault
from reconcile.core.mask.marks import is_mark
from reconcile.core.mask.names import IsSecret
from reconcile.core.mask.objects import Place
from reconcile.core.mask.texts import Finder
from reconcile.core.mask.walk import Walk


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
