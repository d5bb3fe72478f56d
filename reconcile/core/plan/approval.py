"""What was approved of a plan, and how today's plan differs from it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from reconcile.core.changes import Plan
from reconcile.core.model import ObjectRef
from reconcile.core.plan.digest import Class, commit_deeds, deeds, digest_of

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
