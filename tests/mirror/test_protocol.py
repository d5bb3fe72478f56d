"""The result of a HEAD write whose answer is lost, for claims and commits."""

import pytest

from reconcile.mirror.errors import (
    DamagedError,
    DeniedError,
    FencedError,
    StoreAwayError,
)
from reconcile.mirror.head import claim, commit, read_head, swap_head
from reconcile.mirror.model import Complete, Generation, Head, ManifestRef, Partial, Writer
from reconcile.mirror.protocol import (
    ClaimRequest,
    Committed,
    Fenced,
    HeadUnchanged,
    HeadVersion,
    Superseded,
    build_claimed_head,
    build_successor_head,
    classify_head_write,
    next_generation_number,
)
from reconcile.mirror.snapshot.head import encode_head
from reconcile.mirror.snapshot.keys import HEAD, manifest_key
from reconcile.mirror.store.port import ABSENT
from tests.clocks import FakeClock
from tests.mirror.memory_store import FaultScript, MemoryStore

ONE = ClaimRequest("uid-1", "pod-1")
TWO = ClaimRequest("uid-2", "pod-2")


def _ref(number, content="a"):
    digest = content * 64
    return ManifestRef(number, manifest_key(number, digest), digest, 10)


def _head(number, writer=None, content="a"):
    chain = (_ref(number, content),) if number else ()
    return Head(Generation(number, 5, chain), writer or Writer("uid-1", 1, "pod-1"))


@pytest.fixture
def world():
    store = MemoryStore()
    script = FaultScript()
    store.bucket.fault = script.fault
    return store, script, FakeClock()


def test_ones_own_write_is_recognised():
    attempted = _head(2)
    found = HeadVersion(attempted, "new")
    assert classify_head_write(attempted, HeadVersion(_head(1), "old"), found) == Committed(found)


def test_the_old_head_with_the_old_etag_may_be_overwritten():
    before = HeadVersion(_head(1), "old")
    assert classify_head_write(_head(2), before, before) == HeadUnchanged()


def test_a_missing_head_is_unchanged_for_a_first_claim():
    assert classify_head_write(_head(0), None, None) == HeadUnchanged()


def test_ones_own_other_generation_is_a_late_write_and_not_the_one_attempted():
    other = HeadVersion(_head(2, content="b"), "late")
    assert classify_head_write(
        _head(2, content="a"), HeadVersion(_head(1), "old"), other
    ) == Superseded(other)


@pytest.mark.parametrize("writer", [Writer("uid-2", 2, "pod-2"), Writer("uid-1", 2, "pod-1")])
def test_another_pod_and_another_epoch_are_other_writers(writer):
    other = HeadVersion(_head(1, writer), "x")
    assert classify_head_write(_head(2), HeadVersion(_head(1), "old"), other) == Fenced(other)


def test_a_claim_keeps_the_generation_and_begins_the_next_epoch():
    before = HeadVersion(_head(7), "e")
    after = build_claimed_head(before, TWO, 99)
    assert after.generation == before.head.generation
    assert after.writer == Writer("uid-2", 2, "pod-2")


def test_the_first_claim_makes_generation_0():
    assert build_claimed_head(None, ONE, 99) == Head(
        Generation(0, 99, ()), Writer("uid-1", 1, "pod-1")
    )


def test_a_number_is_never_used_twice_even_after_a_commit_in_doubt():
    assert next_generation_number(_head(3), 0) == 4
    assert next_generation_number(_head(3), 4) == 5


def test_a_successor_head_has_its_completeness_and_writer():
    head = build_successor_head(_head(1), (_ref(1), _ref(2)), 9, Partial(3, 4))
    assert head.generation == Generation(2, 9, (_ref(1), _ref(2)), Partial(3, 4))
    assert head.writer == _head(1).writer


def test_a_claim_of_a_new_session_writes_head_once(world):
    store, _, clock = world
    landed = claim(store, ONE, clock)
    assert read_head(store) == landed
    assert landed.head.generation.number == 0
    assert [r.method for r in store.bucket.requests] == [
        "get",
        "list",
        "put_if",
        "get",
    ]


def test_a_claim_whose_answer_is_lost_is_recognised(world):
    store, script, clock = world
    script.lose_after("put_if")
    landed = claim(store, ONE, clock)
    assert landed.head.writer == Writer("uid-1", 1, "pod-1")
    assert [r.method for r in store.bucket.requests] == [
        "get",
        "list",
        "put_if",
        "get",
    ]


def test_a_claim_that_did_not_arrive_is_sent_once_more(world):
    store, script, clock = world
    script.lose_before("put_if")
    assert claim(store, ONE, clock) == read_head(store)


def test_a_claim_gives_up_when_the_store_stays_away(world):
    store, script, clock = world
    script.lose_before("put_if", times=9)
    with pytest.raises(StoreAwayError):
        claim(store, ONE, clock)
    assert [r.method for r in store.bucket.requests].count("put_if") == 2


def test_a_claim_takes_over_what_was_committed_in_between(world):
    store, script, clock = world
    first = claim(store, ONE, clock)
    script.before("put_if", lambda: commit(store, _next(first), first))
    landed = claim(store, TWO, clock)
    assert landed.head.generation.number == 1
    assert landed.head.writer.uid == "uid-2"


def test_a_claim_gives_up_where_others_claim_all_the_time(world):
    store, script, clock = world
    claim(store, ONE, clock)
    script.always_before("put_if", lambda: claim(MemoryStore(store.bucket), ONE, clock))
    with pytest.raises(StoreAwayError, match="again and again"):
        claim(store, TWO, clock)


def test_a_claim_of_a_head_that_cannot_be_read_writes_nothing(world):
    store, _, clock = world
    store.put_if(HEAD, b"{", ABSENT)
    with pytest.raises(DamagedError):
        claim(store, ONE, clock)
    assert store.get(HEAD).body == b"{"


def test_a_refused_key_ends_a_claim_at_once(world):
    store, script, clock = world
    script.fail("get", DeniedError("no"))
    with pytest.raises(DeniedError):
        claim(store, ONE, clock)


def _next(found, content="a"):
    chain = (*found.head.generation.chain, _ref(found.head.generation.number + 1, content))
    return build_successor_head(found.head, chain, 6, Complete())


def test_a_commit_whose_answer_is_lost_is_recognised(world):
    store, script, clock = world
    found = claim(store, ONE, clock)
    script.lose_after("put_if")
    landed = commit(store, _next(found), found)
    assert isinstance(landed, Committed)
    assert landed.version == read_head(store)


def test_a_commit_after_another_claim_is_refused_and_says_who(world):
    store, _, clock = world
    found = claim(store, ONE, clock)
    claim(store, TWO, clock)
    with pytest.raises(FencedError, match=r"pod-2.*uid-2"):
        commit(store, _next(found), found)
    assert read_head(store).head.generation.number == 0


def test_a_commit_finds_its_own_late_predecessor(world):
    store, _, clock = world
    found = claim(store, ONE, clock)
    late = _next(found, "b")
    store.put_if(HEAD, encode_head(late), found.etag)
    moved = commit(store, _next(found), found)
    assert isinstance(moved, Superseded)
    assert moved.version == read_head(store)


def test_a_commit_does_not_recreate_a_deleted_head(world):
    store, _, clock = world
    found = claim(store, ONE, clock)
    store.delete([HEAD])
    with pytest.raises(DamagedError, match="HEAD was deleted"):
        commit(store, _next(found), found)
    assert read_head(store) is None


def test_a_refusal_although_head_is_unchanged_is_reported_as_such(world):
    store, script, clock = world
    found = claim(store, ONE, clock)
    script.refuse("put_if", times=2)
    with pytest.raises(StoreAwayError, match="conditional writes"):
        commit(store, _next(found), found)


def test_a_head_write_is_sent_at_most_twice(world):
    store, script, clock = world
    found = claim(store, ONE, clock)
    script.lose_before("put_if", times=3)
    with pytest.raises(StoreAwayError):
        swap_head(store, _next(found), found)
    assert len(script.left) == 1
