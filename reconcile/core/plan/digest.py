"""One name for all that a plan would do, so that what was reviewed is what is carried out."""

from typing import Any, assert_never

from reconcile.core.canonical import digest
from reconcile.core.changes import Action, Change, Create, Delete, Hold, Keep, Patch, Plan, Replace


def plan_digest(plan: Plan) -> str:
    """Return `sha256:<hex>` over what is to be made of which object, without what only lives.

    Revisions, UIDs, live values and reasons to wait stay out, so that a pull request and the
    cluster after its merge give the same. A held change counts as the change that is held: whether
    it waits depends on what runs.
    """
    entries = (_entry(plan.installation, change) for change in plan.changes)
    return digest(sorted(entry for entry in entries if entry))


def _entry(installation: str, change: Change) -> list[str]:
    match change:
        case Hold():
            return _entry(installation, change.change)
        case Keep():
            return []
        case Create() | Patch() | Replace():
            return [*_named(installation, change), change.manifest.digest]
        case Delete():
            return [*_named(installation, change), change.reason.name]
        case _:
            assert_never(change)


def _named(installation: str, change: Action) -> list[Any]:
    ref = change.ref
    action = type(change).__name__
    return [installation, ref.group, ref.kind, ref.namespace, ref.name, action]
