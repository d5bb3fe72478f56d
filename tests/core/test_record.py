from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.changes import (
    Create,
    EndedPod,
    FlushTrace,
    Hold,
    HoldReason,
    Outcome,
    Status,
    UnflushedPod,
)
from reconcile.core.lifecycle.pod_status import MirrorEnded, MirrorRunning
from reconcile.core.record import (
    RecordStatus,
    build_record_status_body,
    count_failed_start,
    describe_pending,
    find_remaining_ends,
    finish_flush,
    follow_flush,
    format_record_status,
    has_flush_news,
    next_status,
    parse_record_status,
    seconds_to_back_off,
    with_record_status,
)
from tests.builders import manifest, pod, session_id

CREATE = Create(manifest(pod()))
HOLD = Hold(CREATE, HoldReason.TAKEN)
BEFORE = RecordStatus("abc", "sha256:1", ("Create Pod n/a: TAKEN",), ())
LINES = st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple)
WORDS = st.text(st.characters(exclude_categories=["Cs"]))


def outcomes(*statuses):
    return [Outcome(CREATE, status) for status in statuses]


@pytest.mark.parametrize(
    "status", [Status.CREATED, Status.CONFIGURED, Status.REPLACED, Status.DELETED]
)
def test_a_pass_that_changed_something_writes_a_status(status):
    now = RecordStatus("def", BEFORE.digest, BEFORE.pending)
    assert next_status(BEFORE, now, outcomes(Status.UNCHANGED, status)) == now


@pytest.mark.parametrize("status", [Status.UNCHANGED, Status.HELD, Status.FAILED, Status.SKIPPED])
def test_a_pass_that_changed_nothing_writes_none(status):
    now = RecordStatus("def", "sha256:2", BEFORE.pending, BEFORE.failed)
    assert next_status(BEFORE, now, outcomes(status)) is None
    assert next_status(BEFORE, now, []) is None


@pytest.mark.parametrize(
    "now",
    [
        RecordStatus("abc", "sha256:1"),
        RecordStatus("abc", "sha256:1", BEFORE.pending, ("it failed",)),
    ],
)
def test_a_change_of_pending_or_failed_is_written(now):
    assert next_status(BEFORE, now, outcomes(Status.UNCHANGED)) == now


def test_each_held_change_is_pending_for_its_reason():
    held = [Outcome(CREATE, Status.CREATED), Outcome(HOLD, Status.HELD)]
    assert describe_pending(held) == ("Create Pod team-a/fix-login-runner: TAKEN",)


ADMITTED = st.dictionaries(WORDS, st.dictionaries(WORDS, WORDS))
ENDS = st.lists(st.builds(EndedPod, WORDS, WORDS, WORDS, WORDS)).map(tuple)


@given(
    st.builds(RecordStatus, WORDS, WORDS, LINES, LINES, ENDS, st.integers(0, 99), WORDS),
    st.builds(FlushTrace, WORDS, st.none() | st.builds(UnflushedPod, WORDS, WORDS, WORDS)),
    ADMITTED,
)
def test_a_status_survives_a_round_trip(status, flush, admitted):
    status = replace(status, flush=flush, admitted=admitted)
    assert parse_record_status(format_record_status(status)) == status


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "null",
        "{}",
        '{"revision": "a", "digest": "b", "pending": null, "failed": []}',
        '{"revision": "a", "digest": "b", "pending": 1, "failed": []}',
        '{"revision": "a", "digest": "b", "pending": [], "failed": [], "admitted": [1]}',
        '{"revision": "a", "digest": "b", "pending": [], "failed": [], "admitted": {"a": "b"}}',
        '{"revision": "a", "digest": "b", "pending": [], "failed": [], "flush": []}',
        '{"revision": "a", "digest": "b", "pending": [], "failed": [], "flush": {"unflushed": 1}}',
    ],
)
def test_a_damaged_status_counts_as_empty(text):
    assert parse_record_status(text) == RecordStatus()


def test_a_status_is_applied_to_the_exact_record_and_to_no_other_field():
    assert build_record_status_body(session_id("a", "n"), "uid-1", BEFORE) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "session-a", "namespace": "n", "uid": "uid-1"},
        "data": {"status": format_record_status(BEFORE)},
    }


def test_an_unchanged_status_is_not_written():
    assert next_status(BEFORE, BEFORE, outcomes(Status.CREATED)) is None


def test_an_applied_record_has_its_status():
    record = {"kind": "ConfigMap", "data": {"state": "Running"}}
    assert with_record_status(record, RecordStatus()) == record
    carried = with_record_status(record, BEFORE)
    assert carried["data"] == {"state": "Running", "status": format_record_status(BEFORE)}


END = EndedPod("fix-login-runner", "Completed", "", "sha256:1")


def test_a_status_of_an_earlier_version_remembers_no_end():
    text = '{"revision":"abc","digest":"d","pending":[],"failed":[]}'
    assert parse_record_status(text) == RecordStatus("abc", "d")


@pytest.mark.parametrize("ended", ["[1]", "[{}]", '["text"]', "1"])
def test_a_damaged_end_damages_the_status(ended):
    text = f'{{"revision":"abc","digest":"d","pending":[],"failed":[],"ended":{ended}}}'
    assert parse_record_status(text) == RecordStatus()


def test_a_new_end_is_written():
    now = RecordStatus("def", BEFORE.digest, BEFORE.pending, (), (END,))
    assert next_status(BEFORE, now, outcomes(Status.UNCHANGED)) == now


@pytest.mark.parametrize(
    ("status", "remaining"),
    [
        (Status.CREATED, ()),
        (Status.REPLACED, ()),
        (Status.DELETED, ()),
        (Status.FAILED, (END,)),
        (Status.HELD, (END,)),
        (Status.CONFIGURED, (END,)),
    ],
)
def test_an_end_is_over_once_the_pod_is_another_one(status, remaining):
    assert find_remaining_ends((END,), outcomes(status)) == remaining


NOON = "2026-01-01T12:00:00Z"


@pytest.mark.parametrize(
    ("count", "now", "seconds"),
    [
        (0, NOON, 0),
        (1, NOON, 10),
        (2, "2026-01-01T12:00:05Z", 15),
        (50, NOON, 300),
        (50, "2026-01-01T12:05:00Z", 0),
        (50, "2026-01-01T12:11:00Z", 0),
        (1, "no time", 0),
    ],
)
def test_a_pod_that_never_starts_is_replaced_more_and_more_slowly(count, now, seconds):
    status = RecordStatus(failed_starts=count, failed_start_time=NOON)
    assert seconds_to_back_off(status, now) == seconds


@pytest.mark.parametrize(("now", "count"), [(NOON, 4), ("2026-01-01T12:11:00Z", 1), ("no time", 1)])
def test_failures_that_are_long_past_are_not_counted(now, count):
    assert count_failed_start(RecordStatus(failed_starts=3, failed_start_time=NOON), now) == count


LOST = UnflushedPod("one", NOON, "late")


@pytest.mark.parametrize(
    ("before", "mirrors", "after"),
    [
        (FlushTrace(), {}, FlushTrace()),
        (FlushTrace(), {"one": MirrorRunning()}, FlushTrace("one")),
        (FlushTrace("one"), {"one": MirrorEnded(NOON)}, FlushTrace()),
        (FlushTrace("two"), {"two": MirrorRunning(), "one": MirrorEnded(NOON)}, FlushTrace("two")),
        (FlushTrace("one"), {"one": MirrorEnded(NOON, "late")}, FlushTrace("", LOST)),
        (FlushTrace("", LOST), {"one": MirrorEnded("", "other words")}, FlushTrace("", LOST)),
        (FlushTrace("two", LOST), {"two": MirrorEnded()}, FlushTrace()),
        (FlushTrace("two", LOST), {"two": MirrorRunning()}, FlushTrace("two", LOST)),
    ],
)
def test_the_last_flush_is_followed(before, mirrors, after):
    assert follow_flush(before, mirrors) == after


def test_a_pod_that_is_missing_is_noted_and_the_next_one_followed():
    trace = follow_flush(FlushTrace("one"), {"two": MirrorRunning()})
    assert trace.pod == "two"
    assert trace.unflushed is not None
    assert (trace.unflushed.uid, trace.unflushed.time) == ("one", "")
    assert finish_flush(trace, [], NOON).unflushed == replace(trace.unflushed, time=NOON)


def test_only_an_end_is_news():
    assert not has_flush_news(FlushTrace(), FlushTrace("one"))
    assert not has_flush_news(FlushTrace("one", LOST), FlushTrace("one", LOST))
    assert has_flush_news(FlushTrace("one"), FlushTrace())
    assert has_flush_news(FlushTrace("one"), FlushTrace("one", LOST))


def test_news_of_a_flush_is_written():
    now = replace(BEFORE, flush=FlushTrace("", LOST))
    assert next_status(BEFORE, now, outcomes(Status.UNCHANGED)) == now
