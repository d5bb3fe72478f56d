"""The probe detects servers that do not honour conditional writes."""

from itertools import count

import pytest

from reconcile.mirror.errors import (
    DeniedError,
    PreconditionError,
    StoreAwayError,
    StoreError,
    UnsupportedRequestError,
)
from reconcile.mirror.store.conditional import (
    ConditionalWriteSupport,
    SingleWriterStore,
    probe_conditional_writes,
    require_conditional_writes,
)
from reconcile.mirror.store.port import ABSENT, ObjectAbsent
from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
from reconcile.mirror.store.s3 import S3Store
from tests.clocks import FakeClock
from tests.mirror.memory_store import MemoryBucket, MemoryStore, Request
from tests.s3 import buckets, front
from tests.s3.access import S3Server
from tests.s3.faults import Fault, Pass, ProxiedRequest, Strip, always


def test_the_probe_leaves_no_object() -> None:
    bucket = MemoryBucket()
    assert (
        probe_conditional_writes(bucket.below("team/one/"), "probe/x")
        is ConditionalWriteSupport.HONOURED
    )
    assert bucket.objects == {}
    assert len(bucket.requests) == 5


@pytest.mark.s3
def test_the_real_server_honours_conditions(s3_server: S3Server) -> None:
    store = S3Store(s3_server.location(buckets.fresh(s3_server), "p/"), s3_server.credentials)
    assert probe_conditional_writes(store, "probe/x") is ConditionalWriteSupport.HONOURED
    assert list(store.list("")) == []


def _ignores_etags(asked: ProxiedRequest) -> Fault:
    return Strip("If-Match") if asked.method == "PUT" else Pass()


def test_a_server_that_ignores_conditions_is_detected(moto_server: S3Server) -> None:
    bucket = buckets.fresh(moto_server)
    with front.running(moto_server) as before:
        store = S3Store(before.server.location(bucket), moto_server.credentials)
        before.plan = always(Strip("If-"))
        assert probe_conditional_writes(store, "probe/x") is ConditionalWriteSupport.IGNORES_ABSENT
        before.plan = _ignores_etags
        assert probe_conditional_writes(store, "probe/x") is ConditionalWriteSupport.IGNORES_ETAG
        assert list(store.list("")) == []


class RefusingStore(MemoryStore):
    """Refuses its own ETag, or all conditions."""

    def __init__(self, error: StoreError, *, absent_too: bool) -> None:
        super().__init__()
        self.error = error
        self.absent_too = absent_too

    def put_if(self, key: str, body: bytes, etag: str | ObjectAbsent) -> str:
        if self.absent_too or isinstance(etag, str):
            raise self.error
        return super().put_if(key, body, etag)


def test_a_server_that_refuses_its_own_etag_is_detected() -> None:
    store = RefusingStore(PreconditionError("no"), absent_too=False)
    assert probe_conditional_writes(store, "probe/x") is ConditionalWriteSupport.REFUSES_ETAG


def test_a_server_without_conditional_writes_is_detected() -> None:
    assert (
        probe_conditional_writes(
            RefusingStore(UnsupportedRequestError("501"), absent_too=True), "probe/x"
        )
        is ConditionalWriteSupport.UNKNOWN
    )


@pytest.mark.parametrize("error", [DeniedError("403"), StoreAwayError("503")])
def test_a_failed_probe_is_an_error(error: StoreError) -> None:
    with pytest.raises(type(error)):
        probe_conditional_writes(RefusingStore(error, absent_too=True), "probe/x")


@pytest.mark.parametrize("done", [False, True], ids=["request lost", "response lost"])
@pytest.mark.parametrize("error", [StoreAwayError("503"), PreconditionError("412")], ids=str)
@pytest.mark.parametrize("number", range(5))
def test_a_probe_that_fails_once_is_repeated(error: StoreError, number: int, *, done: bool) -> None:
    bucket = MemoryBucket()
    requests = count()

    def fault(request: Request) -> StoreError | None:
        return error if request.done is done and next(requests) == number else None

    bucket.fault = fault
    store = RetryingStore(bucket.below(""), FakeClock(), RetryPolicy(60))
    assert probe_conditional_writes(store, "probe/x") is ConditionalWriteSupport.HONOURED


def test_the_probe_works_without_the_permission_to_delete() -> None:
    bucket = MemoryBucket()

    def no_deletes(request: Request) -> StoreError | None:
        return DeniedError("no") if request.method == "delete" else None

    bucket.fault = no_deletes
    assert probe_conditional_writes(bucket.below(""), "probe/x") is ConditionalWriteSupport.HONOURED


def test_a_store_without_conditional_writes_requires_single_writer() -> None:
    require_conditional_writes(ConditionalWriteSupport.HONOURED, single_writer=False)
    require_conditional_writes(ConditionalWriteSupport.IGNORES_ETAG, single_writer=True)
    for support in set(ConditionalWriteSupport) - {ConditionalWriteSupport.HONOURED}:
        with pytest.raises(StoreError, match=r"--single-writer") as caught:
            require_conditional_writes(support, single_writer=False)
        assert support.value in str(caught.value)


def test_a_single_writer_still_detects_another(moto_server: S3Server) -> None:
    bucket = buckets.fresh(moto_server)
    with front.running(moto_server) as before:
        before.plan = always(Strip("If-"))
        inner = S3Store(before.server.location(bucket), moto_server.credentials)
        store = SingleWriterStore(inner)
        first = store.put_if("HEAD", b"first", ABSENT)
        with pytest.raises(PreconditionError):
            store.put_if("HEAD", b"again", ABSENT)
        second = store.put_if("HEAD", b"second", first)
        with pytest.raises(PreconditionError):
            store.put_if("HEAD", b"late", first)
        assert store.get("HEAD") == inner.get("HEAD")
        assert store.get("HEAD").etag == second
