"""Throttling, broken connections, changed bytes and slow responses in front of a real server."""

import hashlib
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from reconcile.mirror.errors import DamagedError, StoreAwayError, StoreError
from reconcile.mirror.store.config import Timeouts
from reconcile.mirror.store.port import ABSENT
from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
from reconcile.mirror.store.s3 import S3Store
from reconcile.runtime.backoff import Backoff
from tests.clocks import FakeClock
from tests.s3 import buckets, front
from tests.s3.access import S3Server
from tests.s3.faults import (
    Answer,
    Cut,
    Fault,
    Flip,
    Hang,
    ProxiedRequest,
    Slow,
    When,
    always,
    first,
)
from tests.s3.front import Front

BODY = bytes(range(256)) * 1024
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def before(any_server: S3Server) -> Iterator[Front]:
    with front.running(any_server) as running:
        yield running


@pytest.fixture
def store(before: Front) -> S3Store:
    where = before.server.location(buckets.fresh(before.server), "team/one/")
    before.reset()
    return S3Store(where, before.server.credentials)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def patient(store: S3Store, clock: FakeClock) -> RetryingStore:
    return RetryingStore(store, clock, RetryPolicy(timeout=100, backoff=Backoff(1, 15)))


@pytest.mark.parametrize(
    "fault",
    [
        Answer(503, "SlowDown"),
        Answer(429, "TooManyRequests"),
        Answer(500, "InternalError"),
        Cut(When.BEFORE),
        Cut(When.BODY),
        Cut(When.AFTER),
    ],
    ids=str,
)
def test_an_upload_survives_temporary_failures(
    before: Front, patient: RetryingStore, clock: FakeClock, fault: Fault
) -> None:
    before.plan = first(3, fault, lambda asked: asked.method == "PUT")
    patient.put("packs/one", [BODY[:1000], BODY[1000:]], DIGEST)
    assert patient.get("packs/one").body == BODY
    assert len(clock.waits) == 3


@pytest.mark.parametrize(
    "fault",
    [Answer(503, "SlowDown"), Cut(When.BEFORE), Cut(When.AFTER), Cut(When.ANSWER)],
    ids=str,
)
def test_a_download_survives_temporary_failures(
    before: Front, patient: RetryingStore, clock: FakeClock, fault: Fault
) -> None:
    patient.put("packs/one", [BODY], DIGEST)
    before.plan = first(3, fault)
    assert patient.get("packs/one").body == BODY
    before.plan = first(3, fault)
    assert patient.get_range("packs/one", 100, 1000) == BODY[100:1100]
    assert len(clock.waits) == 6


def test_a_requested_delay_is_obeyed(
    before: Front, patient: RetryingStore, clock: FakeClock
) -> None:
    before.plan = first(2, Answer(503, "SlowDown", retry_after=17))
    assert list(patient.list("")) == []
    assert clock.waits == [17, 17]


def test_throttling_that_does_not_end_is_given_up_with_the_reason(
    before: Front, patient: RetryingStore
) -> None:
    before.plan = always(Answer(503, "SlowDown"))
    with pytest.raises(StoreAwayError, match=r"SlowDown.*given up after \d+ tries in"):
        patient.get("HEAD")


@pytest.mark.parametrize(
    ("when", "written"),
    [(When.BEFORE, []), (When.BODY, []), (When.AFTER, ["HEAD"])],
)
def test_a_conditional_write_without_a_response_is_sent_once(
    before: Front, patient: RetryingStore, when: When, written: list[str]
) -> None:
    before.plan = always(Cut(when), lambda asked: asked.is_write_of("HEAD"))
    with pytest.raises(StoreAwayError, match="connection broke at s3:PutObject"):
        patient.put_if("HEAD", BODY, ABSENT)
    assert sum(asked.is_write_of("HEAD") for asked in before.received) == 1
    assert [each.key for each in patient.list("")] == written


def test_a_conditional_write_that_hangs_may_have_been_done(before: Front) -> None:
    where = before.server.location(buckets.fresh(before.server))
    store = S3Store(where, before.server.credentials)
    hasty = S3Store(replace(where, timeouts=Timeouts(read=1)), before.server.credentials)
    before.plan = always(Hang(), lambda asked: asked.is_write_of("HEAD"))
    with pytest.raises(StoreAwayError, match=r"no data from .* for 1 s"):
        hasty.put_if("HEAD", b"body", ABSENT)
    assert store.get("HEAD").body == b"body"


@pytest.mark.s3
def test_a_body_changed_on_its_way_to_the_server_is_sent_again(
    s3_server: S3Server, clock: FakeClock
) -> None:
    with front.running(s3_server) as before:
        where = before.server.location(buckets.fresh(s3_server))
        store = RetryingStore(
            S3Store(where, s3_server.credentials), clock, RetryPolicy(timeout=100)
        )
        before.plan = first(2, Flip(request=True), lambda asked: asked.method == "PUT")
        store.put("packs/one", [BODY], DIGEST)
        assert store.get("packs/one").body == BODY
        assert len(clock.waits) == 2


def test_a_slow_response_is_read_completely(before: Front, store: S3Store) -> None:
    store.put("packs/one", [BODY], DIGEST)
    before.plan = always(Slow(0.01))
    assert store.get("packs/one").body == BODY


def test_changed_bytes_of_a_response_are_detected_only_by_the_digest(
    before: Front, store: S3Store
) -> None:
    store.put("packs/one", [BODY], DIGEST)
    before.plan = always(Flip())
    body = store.get("packs/one").body
    assert len(body) == len(BODY)
    assert hashlib.sha256(body).hexdigest() != DIGEST


def test_a_full_quota_is_reported_without_retries(before: Front, patient: RetryingStore) -> None:
    before.plan = always(Answer(403, "QuotaExceeded"))
    with pytest.raises(StoreError, match="raise the quota"):
        patient.put("packs/one", [BODY], DIGEST)
    assert len(before.received) == 1


def test_requests_and_bytes_are_counted(before: Front, store: S3Store) -> None:
    store.put("packs/one", [BODY], DIGEST)
    assert store.get("packs/one").body == BODY
    assert [asked.method for asked in before.received] == ["PUT", "GET"]
    assert before.received[0] == ProxiedRequest(1, "PUT", before.received[1].path)
    assert (before.sent_bytes, before.got_bytes) == (len(BODY), len(BODY))


def test_a_range_beyond_the_end_is_damage_through_a_proxy_too(
    before: Front, store: S3Store
) -> None:
    store.put("packs/one", [BODY], DIGEST)
    before.latency = 0.001
    with pytest.raises(DamagedError):
        store.get_range("packs/one", len(BODY), 1)
