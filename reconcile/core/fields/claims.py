"""Who owns what around one place: an object's managedFields, narrowed step by step along a path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from reconcile.core.fields.fieldset import FieldSet, Owner, manager_entry, owners
from reconcile.core.fields.path import Item, Member, Segment
from reconcile.core.model import KubeObject
from reconcile.core.names import MANAGER


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
        """Whether some manager owns the value as a whole, rather than parts of it."""
        return self.ours == {} or any(owner.fields == {} for owner in self.others)

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
            return "k:" + orjson.dumps(dict(keys), option=orjson.OPT_SORT_KEYS).decode()
        case Member(value):
            return "v:" + orjson.dumps(value).decode()


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
