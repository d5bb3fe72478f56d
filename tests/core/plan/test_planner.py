import random

import pytest

from reconcile.core.changes import Hold, HoldReason, Keep, Patch
from reconcile.core.model import Policy, SessionId, UpdateStrategy
from tests.builders import (
    INSTALLATION,
    REVISION,
    config_map,
    container,
    desired,
    live_session,
    plan,
    pod,
    session,
    wanted,
)

NAMES = [("b", "team-a"), ("a", "team-b"), ("a", "team-a")]
ORDER = ["team-a/a", "team-a/b", "team-b/a"]


def test_sessions_are_ordered_by_their_identity():
    some = [wanted(of=session(name, namespace)) for name, namespace in NAMES]
    result = plan(desired(*some))
    assert [str(each.session) for each in result.sessions] == ORDER
    assert (result.installation, result.revision) == (INSTALLATION, REVISION)


def test_removed_sessions_stand_among_the_others():
    some = [wanted(of=session(name, namespace)) for name, namespace in NAMES]
    objects = [obj for each in some for obj in live_session(each)]
    result = plan(desired(some[1], policy=Policy(allow_empty=True)), objects)
    assert [str(each.session) for each in result.sessions] == ORDER


def test_the_order_of_sessions_and_of_live_objects_does_not_matter():
    before = [wanted(of=session(name, namespace)) for name, namespace in NAMES]
    after = [
        wanted(config_map(data={"a": name}), of=session(name, namespace))
        for name, namespace in NAMES[:2]
    ]
    objects = [obj for each in before for obj in live_session(each)]
    expected = plan(desired(*after), objects)
    chance = random.Random(0)
    for _ in range(5):
        chance.shuffle(after)
        chance.shuffle(objects)
        assert plan(desired(*after), objects) == expected


@pytest.mark.parametrize(
    ("strategy", "policy", "may_end_work"),
    [
        (UpdateStrategy.WHEN_STOPPED, Policy(), False),
        (UpdateStrategy.RECREATE, Policy(), True),
        (UpdateStrategy.WHEN_STOPPED, Policy(allow_restarts=frozenset({"team-a/fix-login"})), True),
        (UpdateStrategy.WHEN_STOPPED, Policy(allow_restarts=frozenset({"team-a/other"})), False),
    ],
)
def test_a_session_comes_with_its_digest_and_whether_its_work_may_be_ended(
    strategy, policy, may_end_work
):
    of = wanted(of=session(strategy=strategy))
    (only,) = plan(desired(of, policy=policy)).sessions
    assert (only.digest, only.may_end_work) == (of.session.digest, may_end_work)


def test_a_removed_session_has_no_digest_and_its_work_ends_by_its_removal():
    (only,) = plan(desired(), live_session(wanted())).sessions
    assert (only.digest, only.may_end_work) == ("", False)


def test_what_lives_of_a_broken_session_stays_as_it_is():
    broken = SessionId("team-a", "broken")
    objects = live_session(wanted(of=session("broken")))
    of = wanted()
    result = plan(desired(of, broken=frozenset({broken})), [*objects, *live_session(of)])
    assert [each.session for each in result.sessions] == [of.session.id]


def test_an_empty_tree_deletes_nothing():
    result = plan(desired(), live_session(wanted()))
    assert {change.reason for change in result.changes if isinstance(change, Hold)} == {
        HoldReason.LAST_SESSIONS
    }
    assert len(result.changes) == 4


def test_another_installations_objects_never_appear():
    ours, theirs = wanted(), wanted(of=session("theirs"), installation="other")
    same_names = live_session(wanted(installation="other"))
    result = plan(desired(ours), [*live_session(theirs), *same_names, *live_session(ours)])
    assert [each.session for each in result.sessions] == [ours.session.id]
    assert {type(change) for change in result.changes} == {Keep}


def test_nothing_desired_and_nothing_there_is_nothing_to_do():
    assert plan(desired()).changes == ()


def test_one_sessions_trouble_is_not_anothers():
    one, other = (wanted(pod(name), of=session(name)) for name in ("one", "other"))
    image = [container(image="runner:2")]
    labels = {"labels": {"a": "1"}}
    after = [
        wanted(pod("one", containers=image), of=one.session),
        wanted(pod("other", metadata=labels), of=other.session),
    ]
    result = plan(desired(*after), [*live_session(one), *live_session(other)])
    assert [type(each.changes[-1]) for each in result.sessions] == [Hold, Patch]
