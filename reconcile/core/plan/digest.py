"""One name for all that a plan would do, so that what was reviewed is what is carried out."""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple, assert_never

from reconcile.core.canonical_json import digest
from reconcile.core.changes import (
    Change,
    Create,
    Delete,
    Drift,
    FieldChange,
    Hold,
    Keep,
    Patch,
    Plan,
    Replace,
    RestartsContainer,
)
from reconcile.core.model import ObjectRef
from reconcile.core.plan.session_changes import is_forced


class Class(Enum):
    """What a reviewer tells apart.

    Whether a pod's container is restarted or the pod is replaced, for one and the same manifest,
    depends on whether the pod has ended by itself: both are a restart.
    """

    CREATE = "create"
    ADOPT = "adopt"
    PATCH = "patch"
    RESTART = "restart"
    REPLACE = "replace"
    DELETE = "delete"


class Deed(NamedTuple):
    """What is to be made of one object: `body` is the manifest's digest, or why it is deleted."""

    ref: ObjectRef
    kind: Class
    body: str


def plan_digest(plan: Plan) -> str:
    """Return `sha256:<hex>` over what is to be made of which object, without what only lives.

    Revisions, UIDs, live values and reasons to wait stay out, so that a pull request and the
    cluster after its merge give the same. A held change counts as the change that is held: whether
    it waits depends on what runs.
    """
    return digest_of(plan.installation, deeds(plan))


def digest_of(installation: str, of: Iterable[Deed]) -> str:
    """Return the digest of what is to be done; the order is of no account."""
    rows = ([r.group, r.kind, r.namespace, r.name, kind.value, body] for r, kind, body in of)
    return digest([installation, sorted(rows)])


def deeds(plan: Plan) -> Iterator[Deed]:
    """Yield what is to be made of each object that does not stay as it is."""
    for change in _unheld(plan):
        if not isinstance(change, Keep):
            yield _deed(change, _fields(change))


def commit_deeds(plan: Plan) -> Iterator[Deed]:
    """Yield the same without drift: as if nobody had changed what lives."""
    for change in _unheld(plan):
        fields = _fields(change)
        asked = tuple(field for field in fields if not isinstance(field.cause, Drift))
        if not isinstance(change, Keep) and (asked or not fields):
            yield _deed(change, asked)


def _unheld(plan: Plan) -> Iterator[Create | Patch | Replace | Delete | Keep]:
    for change in plan.changes:
        yield change.change if isinstance(change, Hold) else change


def _fields(change: Change) -> tuple[FieldChange, ...]:
    return change.fields if isinstance(change, Patch | Replace) else ()


def _deed(change: Create | Patch | Replace | Delete, fields: tuple[FieldChange, ...]) -> Deed:
    match change:
        case Create(manifest):
            return Deed(change.ref, Class.CREATE, manifest.digest)
        case Patch(manifest, adopts=True):
            return Deed(change.ref, Class.ADOPT, manifest.digest)
        case Patch(manifest) | Replace(manifest):
            return Deed(change.ref, _class(change.ref, fields), manifest.digest)
        case Delete(reason=reason):
            return Deed(change.ref, Class.DELETE, reason.name)
        case _:
            assert_never(change)


def _class(ref: ObjectRef, fields: tuple[FieldChange, ...]) -> Class:
    forced = any(map(is_forced, fields))
    if any(isinstance(field.effect, RestartsContainer) for field in fields) or (
        forced and ref.kind == "Pod"
    ):
        return Class.RESTART
    return Class.REPLACE if forced else Class.PATCH
