"""Who owns what around one place: an object's managedFields, narrowed step by step along a path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

import orjson

from reconcile.core.fields.field_path import Item, Member, Segment
from reconcile.core.fields.managed_fields import (
    FieldSet,
    Owner,
    key_of,
    manager_entry,
    owners,
    value_of,
)
from reconcile.core.fields.merge_schema import Keyed
from reconcile.core.model import MANAGER, KubeObject


@dataclass(frozen=True, slots=True)
class Claims:
    """Our own fields below a path (None: we own nothing there), and the entries of all others."""

    ours: FieldSet | None
    others: tuple[Owner, ...]

    def at(self, segment: Segment) -> "Claims":
        """Go one step down."""
        key = field_key(segment)
        return Claims(
            None if self.ours is None else self.ours.get(key),
            tuple(
                owner._replace(fields=owner.fields[key])
                for owner in self.others
                if key in owner.fields
            ),
        )

    @property
    def is_leaf(self) -> bool:
        """Whether the value is owned as a whole, and no part of it by anybody."""
        trees = [owner.fields for owner in self.others]
        if self.ours is not None:
            trees.append(self.ours)
        return bool(trees) and not any(trees)

    @property
    def is_others(self) -> bool:
        """Whether another manager owns this very place, and not just something in it."""
        return any(not owner.fields or "." in owner.fields for owner in self.others)

    @property
    def latest_other(self) -> Owner | None:
        """The entry of the other manager that wrote last, if any owns something here."""
        return max(self.others, key=lambda owner: owner.time, default=None)


NOBODYS: Final = Claims(None, ())


def field_key(segment: Segment) -> str:
    """Word a step as `fieldsV1` does."""
    match segment:
        case str():
            return f"f:{segment}"
        case Item(keys):
            return key_of(dict(keys), Keyed(tuple(name for name, _ in keys)))
        case Member(value):
            return value_of(value)
        case _:
            assert_never(segment)


def segment_of(key: str) -> Segment | None:
    """Read a step back; None for `.`, which is the place itself."""
    form, _, text = key.partition(":")
    match form:
        case "f":
            return text
        case "k":
            values: Mapping[str, Any] = orjson.loads(text)
            return Item(tuple(values.items()))
        case "v":
            return Member(orjson.loads(text))
        case _:
            return None


def claims_of(live: KubeObject) -> Claims:
    """Read an object's managedFields, but for what subresources (the kubelet's status) own."""
    others = tuple(
        owner
        for owner in owners(live)
        if not owner.subresource and (owner.manager, owner.operation) != (MANAGER, "Apply")
    )
    return Claims(manager_entry(live, MANAGER), others)
