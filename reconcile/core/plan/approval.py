"""What was approved of a plan, and how today's plan differs from it.

One name for all that a plan would do, so that what was reviewed is what is carried out.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias, assert_never

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
            return Deed(change.ref, _digest_class(change.ref, fields), manifest.digest)
        case Delete(reason=reason):
            return Deed(change.ref, Class.DELETE, reason.name)
        case _:
            assert_never(change)


def _digest_class(ref: ObjectRef, fields: tuple[FieldChange, ...]) -> Class:
    forced = any(map(is_forced, fields))
    if any(isinstance(field.effect, RestartsContainer) for field in fields) or (
        forced and ref.kind == "Pod"
    ):
        return Class.RESTART
    return Class.REPLACE if forced else Class.PATCH


_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_TEXT: Final = re.compile(r"[ -~]{1,300}")

Classes: TypeAlias = Mapping[ObjectRef, str]
"""What is to be made of each object, in one word."""


@dataclass(frozen=True, slots=True)
class Approved:
    """The digest of the plan that was approved; `changes` where the plan itself is at hand."""

    digest: str
    changes: Classes | None = None


def parse_digest(text: str) -> Approved:
    """Read a digest as `diff` prints it; ValueError with what it must be."""
    if not _DIGEST.fullmatch(text):
        raise ValueError(
            "a plan digest is `sha256:` and 64 hexadecimal digits, as `diff` prints it"
        )
    return Approved(text)


def parse_plan(document: bytes) -> Approved:
    """Read what `diff -o json` has printed; ValueError where it is something else."""
    try:
        plan = json.loads(document)
        approved = parse_digest(plan["digest"])
        changes = dict(_changes(plan["sessions"]))
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError("is not a plan with a digest, as `diff -o json` prints it") from error
    return Approved(approved.digest, changes)


def refusal(plan: Plan, approved: Approved) -> str:
    """Say how a plan differs from what was approved; empty where it does not."""
    planned = list(deeds(plan))
    now = digest_of(plan.installation, planned)
    if now == approved.digest:
        return ""
    lines = [
        "this is not the plan that was approved, so nothing was changed",
        f"  approved: {approved.digest}",
        f"  now:      {now}",
    ]
    classes = {deed.ref: deed.kind.value for deed in planned}
    committed = list(commit_deeds(plan))
    if digest_of(plan.installation, committed) == approved.digest:
        lines.append("It is the approved one but for drift, which no commit has asked for:")
        asked = {deed.ref: deed.kind.value for deed in committed}
        lines.extend(_differences(asked, classes))
    elif approved.changes is not None:
        lines.extend(_compared(approved.changes, classes))
    lines.append("Look at the plan of today, and approve its digest if it is what you want.")
    return "\n".join(lines)


def _compared(approved: Classes, now: Classes) -> Iterator[str]:
    found = list(_differences(approved, now))
    if found:
        yield "They differ in:"
        yield from found
    else:
        yield (
            "Both change the same objects in the same ways, but what these become is not the same: "
            "session files, settings or templates have changed since."
        )


def _differences(approved: Classes, now: Classes) -> Iterator[str]:
    for ref in sorted(approved.keys() | now.keys()):
        before, after = approved.get(ref), now.get(ref)
        if before is None:
            yield f"  {ref}: {after}, which was not approved"
        elif after is None:
            yield f"  {ref}: {before} was approved, and is not to be done any more"
        elif before != after:
            yield f"  {ref}: {after}, where {before} was approved"


def _changes(sessions: Any) -> Iterator[tuple[ObjectRef, str]]:
    for session in sessions:
        for change in session["changes"]:
            parts = (change["kind"], change["namespace"], change["name"])
            if not all(_TEXT.fullmatch(part) for part in parts):
                raise ValueError("is not the name of an object")
            yield ObjectRef(change["group"], *parts), _class(change)


def _class(change: Mapping[str, Any]) -> str:
    """Tell the class of a change from its document, as `digest` tells it from the change."""
    action: str = change.get("withholds") or change["action"]
    effects = {field["effect"]["type"] for field in change["fields"]}
    if any(note.startswith("adopts ") for note in change["notes"]):
        return Class.ADOPT.value
    is_replaced_pod = action == "replace" and change["kind"] == "Pod"
    if is_replaced_pod or "restartsContainer" in effects:
        return Class.RESTART.value
    return Class(action).value
