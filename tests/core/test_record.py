import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.changes import Create, Hold, HoldReason, Outcome, Status
from reconcile.core.record import (
    RecordStatus,
    build_record_status_body,
    describe_pending,
    format_record_status,
    next_status,
    parse_record_status,
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


@given(st.builds(RecordStatus, WORDS, WORDS, LINES, LINES))
def test_a_status_survives_a_round_trip(status):
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
