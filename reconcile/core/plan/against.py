"""What one revision changes against another: the same plan, with the other one as live state."""

from collections.abc import Mapping
from dataclasses import replace

from reconcile.core.budget_usage import Spent
from reconcile.core.changes import Keep, Plan
from reconcile.core.model import Desired, KubeObject, ObjectRef
from reconcile.core.plan.adoption import Strangers, missing
from reconcile.core.plan.live_state import Sight, observe
from reconcile.core.plan.offline import as_live
from reconcile.core.plan.planner import make_plan


def plan_against(old: Desired, new: Desired, *, prune: bool) -> Plan:
    """Plan as for a cluster that is in sync with `old`, in which every pod has begun its work.

    Sessions of `old` that are broken are not known to live. Sessions that stay wholly as they are
    are left out, and nothing is remembered of budgets.
    """
    lost = lost_namespaces(old, new)
    manifests = (m for wanted in old.sessions for m in wanted.manifests)
    live = {m.ref: as_live(m) for m in manifests if m.ref.namespace not in lost}
    sight = observe(new, live.values(), {})
    plan = make_plan(new, sight, _strangers(new, sight, live), prune=prune)
    changed = tuple(s for s in plan.sessions if not all(isinstance(c, Keep) for c in s.changes))
    return replace(plan, sessions=changed, spent=Spent())


def lost_namespaces(old: Desired, new: Desired) -> frozenset[str]:
    """List the namespaces in which nothing of `old` is found any more.

    Every namespace in use leads to all the others, by the inventory in it. Where `new` names none
    of them, what lives there is not seen, and goes on.
    """
    used = frozenset(wanted.session.id.namespace for wanted in old.sessions)
    named = new.namespaces | new.policy.namespaces
    return frozenset() if used & named else used


def _strangers(new: Desired, sight: Sight, live: Mapping[ObjectRef, KubeObject]) -> Strangers:
    """What `old` made for another installation has its names, and is not ours."""
    lacking = missing(new, sight).values()
    wanted = (manifest.ref for names in lacking for manifest in names.values())
    return Strangers(frozenset(ref for ref in wanted if ref in live))
