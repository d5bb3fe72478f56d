"""Whatever is desired and whatever lives, a plan minds its own business and comes to an end."""

import copy
import random
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.changes import Create, Delete, Hold, HoldReason, Keep, Patch, Replace
from reconcile.core.model import (
    LABEL_INSTALLATION,
    Budget,
    OnConflict,
    Policy,
    SessionState,
    UpdateStrategy,
    build_record_ref,
)
from reconcile.core.plan.adoption import ForeignObjects
from reconcile.core.plan.session_changes import UNKNOWN_UID
from tests.builders import (
    body_with_owner,
    config_map,
    container,
    desired,
    foreign_object,
    in_phase,
    live,
    live_session,
    owned,
    plan,
    pod,
    ref_of_object,
    service,
    session,
    session_id,
    taken_over,
    terminating,
    uid_of,
    wanted,
)
from tests.json_patch import patched

IDS = [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")]
NAMES = frozenset(str(session_id(*each)) for each in IDS)
REPLICA_SET = {"kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}
FLAG = st.booleans()
PERMISSIVE = Policy(
    deletes=Budget(percent=100),
    restarts=Budget(percent=100),
    allow_deletes=NAMES,
    allow_restarts=NAMES,
    allow_empty=True,
)
BUDGETS = st.builds(Budget, st.sampled_from([0, 25, 100]), st.integers(0, 1))
POLICIES = st.builds(
    Policy,
    namespaces=st.sampled_from([frozenset(), frozenset({"x"})]),
    deletes=BUDGETS,
    restarts=BUDGETS,
    allow_deletes=st.frozensets(st.sampled_from(sorted(NAMES))),
    allow_restarts=st.frozensets(st.sampled_from(sorted(NAMES))),
    allow_empty=FLAG,
    on_conflict=st.sampled_from(OnConflict),
)


@st.composite
def a_session(draw, name, namespace):
    """A session with some of the objects that one may have, in one of the shapes that they take."""
    of = session(
        name,
        namespace,
        state=draw(st.sampled_from(SessionState)),
        strategy=draw(st.sampled_from(UpdateStrategy)),
        labels=draw(st.sampled_from([{}, {"team": "1"}, {"team": "2"}])),
    )
    runner = container(image=draw(st.sampled_from(["runner:1", "runner:2"])))
    if draw(FLAG):
        runner["env"] = [{"name": "A", "value": draw(st.sampled_from(["", "1"]))}]
    bodies = [
        pod(name, containers=[runner], **draw(st.sampled_from([{}, {"nodeName": "n"}]))),
        service(name, **draw(st.sampled_from([{}, {"type": "NodePort"}]))),
        config_map(name, data=draw(st.dictionaries(st.sampled_from("ab"), st.just("1")))),
    ]
    return wanted(*draw(st.lists(st.sampled_from(bodies), min_size=1, unique_by=id)), of=of)


@st.composite
def sessions(draw):
    chosen = draw(st.lists(st.sampled_from(IDS), unique=True))
    return [draw(a_session(*each)) for each in chosen]


@st.composite
def worlds(draw):
    """What is desired, and what lives: much of it ours, changed and lost in parts, some not."""
    objects = []
    for each in draw(sessions()):
        phase = draw(st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]))
        objects += [draw(fate(obj)) for obj in live_session(each, pod_phase=phase)]
    after = draw(sessions())
    theirs = [draw(not_ours(each)) for each in draw(sessions())]
    manifests = [manifest for each in after for manifest in each.manifests]
    taken = draw(st.frozensets(st.sampled_from([m.ref for m in manifests]))) if after else ()
    return after, [obj for obj in objects if obj], theirs, ForeignObjects(frozenset(taken))


@st.composite
def fate(draw, obj):
    """What has become of a live object: mostly nothing."""
    match draw(st.sampled_from(["", "", "", "gone", "ending", "edited", "orphaned"])):
        case "gone":
            return None
        case "ending":
            return terminating(obj)
        case "edited":
            obj["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "somebody"
            label = {"f:app.kubernetes.io/managed-by": {}}
            return taken_over(obj, {"f:metadata": {"f:labels": label}})
        case "orphaned":
            obj["metadata"].pop("ownerReferences", None)
    return obj


@st.composite
def not_ours(draw, of):
    """A foreign object, a copy of ours by another controller, or another installation's object."""
    manifest = draw(st.sampled_from(of.manifests))
    match draw(st.sampled_from(["stranger", "copy", "other"])):
        case "stranger":
            return foreign_object(manifest)
        case "copy":
            obj = live(manifest)
            obj["metadata"]["ownerReferences"] = [REPLICA_SET]
            return obj
        case _:
            obj = live(manifest)
            obj["metadata"]["labels"][LABEL_INSTALLATION] = "other"
            return obj


def carried_out(result, objects):
    """What lives after all that is not held has been done, as a server would have it."""
    after = {ref_of_object(obj): copy.deepcopy(obj) for obj in objects}
    for change in result.changes:
        match change:
            case Create(manifest) | Replace(manifest):
                after[change.ref] = live(manifest, owner_uid=owner_of(manifest))
            case Patch(manifest):
                obj = known(patched(after[change.ref], change.operations), owner_of(manifest))
                after[change.ref] = owned(obj, body_with_owner(manifest, owner_of(manifest)))
            case Delete(ref):
                del after[ref]
            case Keep() | Hold():
                pass
    return [started(obj) for obj in after.values()]


def owner_of(manifest):
    record = build_record_ref(manifest.session)
    return None if manifest.ref == record else uid_of(record)


def known(value, uid):
    """Put the UID in, now that it is known."""
    if isinstance(value, Mapping):
        return {name: known(item, uid) for name, item in value.items()}
    if isinstance(value, list):
        return [known(item, uid) for item in value]
    return uid if value == UNKNOWN_UID else value


def started(obj):
    if obj["kind"] == "Pod" and "status" not in obj:
        return in_phase(obj, "Running")
    return obj


@given(worlds(), POLICIES, FLAG)
def test_a_plan_names_only_desired_objects_and_those_of_the_installation(world, policy, prune):
    after, ours, theirs, foreign = world
    refs = {manifest.ref for each in after for manifest in each.manifests}
    owned_refs = {ref_of_object(obj) for obj in ours}
    result = plan(desired(*after, policy=policy), [*theirs, *ours], foreign, prune=prune)
    for change in result.changes:
        action = change.change if isinstance(change, Hold) else change
        match action:
            case Create():
                assert change.ref in refs
                assert change.ref not in foreign.conflicts or isinstance(change, Hold)
            case Delete():
                assert change.ref in owned_refs - refs
            case _:
                assert change.ref in owned_refs & refs


@given(worlds(), POLICIES, FLAG)
def test_every_change_is_planned_once_and_nothing_is_forgotten(world, policy, prune):
    after, ours, theirs, foreign = world
    refs = {manifest.ref for each in after for manifest in each.manifests}
    result = plan(desired(*after, policy=policy), [*theirs, *ours], foreign, prune=prune)
    planned = [change.ref for change in result.changes]
    assert len(planned) == len(set(planned))
    assert set(planned) == refs | {ref_of_object(obj) for obj in ours}


@given(worlds(), POLICIES, st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_read_does_not_matter(world, policy, chance: random.Random):
    after, ours, _, foreign = world
    result = plan(desired(*after, policy=policy), ours, foreign)
    chance.shuffle(after)
    chance.shuffle(ours)
    assert plan(desired(*after, policy=policy), ours, foreign) == result


@given(worlds(), POLICIES, FLAG)
def test_a_plan_that_was_carried_out_leaves_nothing_but_what_is_held(world, policy, prune):
    after, ours, _, foreign = world
    of = desired(*after, policy=policy)
    first = plan(of, ours, foreign, prune=prune)
    again = plan(of, carried_out(first, ours), foreign, prune=prune)
    # A budget is a share of what lives, and what the first pass created lives now; so does an
    # owner whose loss was a conflict.
    released = {change.ref for change in first.changes if _is_held_for_now(change)}
    rest = [change for change in again.changes if change.ref not in released]
    assert {type(change) for change in rest} <= {Keep, Hold}


def _is_held_for_now(change):
    reasons = {HoldReason.DELETE_BUDGET, HoldReason.RESTART_BUDGET, HoldReason.CONFLICT}
    return isinstance(change, Hold) and change.reason in reasons


@given(worlds())
def test_a_plan_that_may_do_everything_leaves_nothing_to_do(world):
    after, ours, _, _ = world
    alive = [obj for obj in ours if "deletionTimestamp" not in obj["metadata"]]
    of = desired(*after, policy=PERMISSIVE)
    result = carried_out(plan(of, alive), alive)
    again = plan(of, result)
    assert {type(change) for change in again.changes} <= {Keep}
    assert len(again.changes) == sum(len(each.manifests) for each in after)
