"""What becomes of a patch when the live object turned out to be another than the planned one."""

from dataclasses import replace

from reconcile.core.changes import Keep, LiveRef, Patch
from reconcile.core.model import KubeObject, record_of
from reconcile.core.plan.owners import judge_owner, owner_reference
from reconcile.core.plan.policy import ends_work
from reconcile.core.plan.session_changes import is_forced
from reconcile.core.plan.verdict import Same, judge


def revise(patch: Patch, live: KubeObject, owner_uid: str) -> Patch | Keep | None:
    """Plan a patch again for the object as it is now.

    None where that would be more than the plan allowed: another object, one that is being deleted,
    or a change that ends work while the planned one did not.
    """
    metadata = live["metadata"]
    if metadata["uid"] != patch.live.uid or "deletionTimestamp" in metadata:
        return None
    at = LiveRef(metadata["uid"], metadata["resourceVersion"])
    verdict = judge(patch.manifest, live)
    if patch.ref != record_of(patch.manifest.session):
        owner = owner_reference(patch.manifest.session, owner_uid)
        verdict = judge_owner(verdict, metadata.get("ownerReferences") or (), owner)
    if isinstance(verdict, Same):
        return Keep(patch.ref, at, verdict.digest)
    force = patch.force or verdict.contested
    revised = replace(
        patch, live=at, fields=verdict.fields, operations=verdict.operations, force=force
    )
    allowed = ends_work(patch) or not ends_work(revised)
    return None if any(map(is_forced, verdict.fields)) or not allowed else revised
