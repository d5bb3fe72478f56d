"""The kinds and namespaces that an installation has used, so that each of its objects is found.

Each namespace in use has a copy, so that no central namespace has to be declared: any copy names
all the others. Who may write ConfigMaps in one of the namespaces may forge its copy, so an entry
that only one of several copies has is not believed of other namespaces.

It also has what a revision has used of its budgets, stored before a pass ends anything, so that
several passes together cannot exceed them. Sessions are named instead of counted: a pass that was
interrupted starts again with the sessions that it was allowed to end, and no others.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import orjson

from reconcile.core.canonical_json import compute_digest, parse_count
from reconcile.core.model import (
    ANNOTATION_DIGEST,
    FIELD_MANAGER,
    INVENTORY_PREFIX,
    LABEL_INSTALLATION,
    LABEL_MANAGED_BY,
    Kind,
    KubeObject,
    ObjectMetadata,
)

_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_KIND_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}(/[a-z0-9]{1,63})?")
_MAX_KINDS: Final = 100
_MAX_NAMESPACES: Final = 5000
"""A copy with more entries counts as damaged: each of them costs a request."""


_DIRTY: Final = "-dirty"


@dataclass(frozen=True, slots=True)
class BudgetUsage:
    """The sessions that one revision has ended or restarted so far.

    `total_sessions` is the number of sessions when `revision` first ended one; 0 if it is not known
    yet. `deletes` and `restarts` are the sessions (`namespace/name`) that it was allowed to end or
    restart within its budgets.
    """

    revision: str = ""
    total_sessions: int = 0
    deletes: frozenset[str] = frozenset()
    restarts: frozenset[str] = frozenset()

    def for_revision(self, revision: str, total_sessions: int) -> "BudgetUsage":
        """Continue the usage of the same revision, or start from zero for another one.

        A tree without a commit may be different each time, so its usage is not continued.
        """
        is_same = revision and not revision.endswith(_DIRTY) and revision == self.revision
        if not is_same:
            return BudgetUsage(revision, total_sessions)
        return replace(
            self, total_sessions=self.total_sessions or total_sessions + len(self.deletes)
        )

    def without_total(self) -> "BudgetUsage":
        """Reset the total, since some sessions could not be read."""
        return replace(self, total_sessions=0)

    def with_deletes(self, sessions: Set[str]) -> "BudgetUsage":
        """Count sessions that are ended."""
        return replace(self, deletes=self.deletes | sessions)

    def with_restarts(self, sessions: Set[str]) -> "BudgetUsage":
        """Count sessions that are restarted."""
        return replace(self, restarts=self.restarts | sessions)


def find_confirmed_usage(usages: Sequence[BudgetUsage], revision: str) -> BudgetUsage:
    """Join what the copies say of a revision, or of the revision that most of them have.

    What only one of several copies says is not believed: it may be forged, and a pass ends nothing
    before all copies have its usage.
    """
    needed = min(2, len(usages))
    revisions = Counter(usage.revision for usage in usages)
    most = max(revisions, key=revisions.__getitem__, default="")
    chosen = revision if revisions[revision] >= max(1, needed) else most
    same = [usage for usage in usages if usage.revision == chosen]
    totals = _repeated((usage.total_sessions for usage in same), needed) - {0}
    return BudgetUsage(
        chosen,
        min(totals, default=0),
        _repeated((name for usage in same for name in usage.deletes), needed),
        _repeated((name for usage in same for name in usage.restarts), needed),
    )


_T = TypeVar("_T", int, str)


def _repeated(values: Iterable[_T], needed: int) -> frozenset[_T]:
    return frozenset(value for value, count in Counter(values).items() if count >= needed)


def format_budget_usage(usage: BudgetUsage) -> str:
    """Serialize it as JSON."""
    fields = {
        "revision": usage.revision,
        "living": usage.total_sessions,
        "deletes": sorted(usage.deletes),
        "restarts": sorted(usage.restarts),
    }
    return orjson.dumps(fields).decode()


def parse_budget_usage(text: str) -> BudgetUsage:
    """Parse it; damaged text counts as no usage."""
    try:
        data = orjson.loads(text)
        return BudgetUsage(
            revision=str(data["revision"]),
            total_sessions=parse_count(data["living"]),
            deletes=frozenset(map(str, data["deletes"])),
            restarts=frozenset(map(str, data["restarts"])),
        )
    except (ValueError, TypeError, KeyError):
        return BudgetUsage()


@dataclass(frozen=True, slots=True)
class Inventory:
    """Kinds and namespaces that may hold objects of one installation."""

    kinds: frozenset[Kind] = frozenset()
    namespaces: frozenset[str] = frozenset()

    def __or__(self, other: "Inventory") -> "Inventory":
        """The kinds and namespaces of both."""
        return Inventory(self.kinds | other.kinds, self.namespaces | other.namespaces)


@dataclass(frozen=True, slots=True)
class InventoryCopy:
    """The copy of one namespace, in the ConfigMap with this UID.

    `has_metadata`: it has the labels and annotations for all objects.
    """

    uid: str
    inventory: Inventory
    budget_usage: BudgetUsage
    has_metadata: bool = True


def inventory_name(installation: str) -> str:
    """The name of the ConfigMap, the same in every namespace."""
    return INVENTORY_PREFIX + installation


def is_inventory(installation: str, body: KubeObject) -> bool:
    """Whether an object is this installation's inventory."""
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    return (
        body["kind"] == "ConfigMap"
        and metadata["name"] == inventory_name(installation)
        and labels.get(LABEL_INSTALLATION) == installation
    )


def read_inventory(body: KubeObject) -> Inventory:
    """Read a copy; a damaged one counts as empty and will be rewritten."""
    data = body.get("data") or {}
    try:
        kinds = frozenset(map(_parse_kind, orjson.loads(data.get("kinds", "[]"))))
        namespaces = frozenset(map(_parse_namespace, orjson.loads(data.get("namespaces", "[]"))))
    except (ValueError, TypeError):
        return Inventory()
    is_absurd = len(kinds) > _MAX_KINDS or len(namespaces) > _MAX_NAMESPACES
    return Inventory() if is_absurd else Inventory(kinds, namespaces)


def read_budget_usage(body: KubeObject) -> BudgetUsage:
    """Read the budget usage of a copy."""
    return parse_budget_usage((body.get("data") or {}).get("spent", ""))


def has_metadata(body: KubeObject, metadata: ObjectMetadata) -> bool:
    """Whether a copy was written with these labels and annotations, and still has each of them.

    Their values are not compared, since admission may change one with every write.
    """
    labels, annotations = (body["metadata"].get(name) or {} for name in ("labels", "annotations"))
    is_complete = (
        metadata.labels.keys() <= labels.keys()
        and metadata.annotations.keys() <= annotations.keys()
    )
    return is_complete and annotations.get(ANNOTATION_DIGEST, "") == _digest(metadata)


def _digest(metadata: ObjectMetadata) -> str:
    """Return the digest by which a change is found; empty if there is nothing to remember."""
    maps = {"labels": metadata.labels, "annotations": metadata.annotations}
    return compute_digest(maps) if any(maps.values()) else ""


def build_inventory_body(
    installation: str,
    namespace: str,
    inventory: Inventory,
    budget_usage: BudgetUsage,
    metadata: ObjectMetadata,
) -> dict[str, Any]:
    """Build the ConfigMap for one namespace."""
    digest = _digest(metadata)
    annotations = {**metadata.annotations, ANNOTATION_DIGEST: digest}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": inventory_name(installation),
            "namespace": namespace,
            "labels": {
                **metadata.labels,
                LABEL_INSTALLATION: installation,
                LABEL_MANAGED_BY: FIELD_MANAGER,
            },
            **({"annotations": annotations} if digest else {}),
        },
        "data": {
            "kinds": _to_json(sorted([kind.api_version, kind.name] for kind in inventory.kinds)),
            "namespaces": _to_json(sorted(inventory.namespaces)),
            "spent": format_budget_usage(budget_usage),
        },
    }


def find_confirmed(copies: Iterable[InventoryCopy]) -> Inventory:
    """Return the entries that at least two copies have, or those of the only copy."""
    inventories = [copy.inventory for copy in copies]
    needed = min(2, len(inventories))
    kinds = Counter(kind for each in inventories for kind in each.kinds)
    namespaces = Counter(name for each in inventories for name in each.namespaces)
    return Inventory(
        frozenset(kind for kind, count in kinds.items() if count >= needed),
        frozenset(name for name, count in namespaces.items() if count >= needed),
    )


def find_outdated_namespaces(
    wanted: tuple[Inventory, BudgetUsage],
    copies: Mapping[str, InventoryCopy],
    namespaces: Iterable[str],
) -> tuple[str, ...]:
    """List the namespaces whose copy is missing, differs from `wanted` or lacks metadata."""
    stored = {
        name: (copy.inventory, copy.budget_usage)
        for name, copy in copies.items()
        if copy.has_metadata
    }
    return tuple(sorted(name for name in namespaces if stored.get(name) != wanted))


def _parse_kind(pair: object) -> Kind:
    match pair:
        case [api_version, name]:
            return Kind(_parse_name(api_version), _parse_name(name))
        case _:
            raise TypeError("a kind is an API version and a name")


def _parse_name(value: object) -> str:
    if not isinstance(value, str) or not _KIND_NAME.fullmatch(value):
        raise TypeError("the name of a kind or a version has letters, digits, `.`, `-` and `/`")
    return value


def _parse_namespace(value: object) -> str:
    if not isinstance(value, str) or not _NAMESPACE.fullmatch(value):
        raise TypeError("a namespace is a DNS label")
    return value


def _to_json(value: object) -> str:
    return orjson.dumps(value).decode()
