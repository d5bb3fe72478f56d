"""Requests keep to a bandwidth until the limit is lifted; the clock does not really wait."""

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.errors import SettingsError, StoreAwayError
from reconcile.mirror.restore.downloader import MemorySink
from reconcile.mirror.store.port import ABSENT
from reconcile.mirror.store.rate_limit import (
    BURST_SECONDS,
    RateLimitedStore,
    RateLimiter,
    ThrottleAwareClock,
)
from reconcile.mirror.store.retry import RetryingStore, RetryPolicy
from reconcile.mirror.units import parse_bandwidth
from reconcile.runtime.backoff import Backoff
from tests.clocks import FakeClock
from tests.mirror.memory_store import MemoryStore, Request

MIB = 1 << 20
PACK = bytes(16 * MIB)
DIGEST = hashlib.sha256(PACK).hexdigest()


class RateLimitSetup:
    """A store with a limit, and what it reports."""

    def __init__(self, rate: float = MIB) -> None:
        self.clock = FakeClock()
        self.unthrottled = False
        self.throttled: list[float] = []
        self.limiter = RateLimiter(
            rate, self.clock, lambda: self.unthrottled, self.throttled.append
        )
        self.memory = MemoryStore()
        self.store = RateLimitedStore(self.memory, self.limiter)

    def put(self, body: bytes = PACK) -> None:
        self.store.put("packs/one", [body[:7], body[7:]], hashlib.sha256(body).hexdigest())


@pytest.fixture
def world() -> RateLimitSetup:
    return RateLimitSetup()


def test_a_pack_waits_for_the_time_of_the_pack_before_it(world: RateLimitSetup) -> None:
    world.put()
    assert world.clock.seconds == 0
    world.put()
    assert world.clock.seconds == 16 - BURST_SECONDS
    world.put()
    assert world.clock.seconds == 32 - BURST_SECONDS


def test_received_bytes_count_like_sent_bytes(world: RateLimitSetup) -> None:
    world.put()
    assert world.store.get("packs/one").body == PACK
    assert world.clock.seconds == 16 - BURST_SECONDS
    assert world.store.get_range("packs/one", 5, MIB) == PACK[:MIB]
    assert world.clock.seconds == 32 - BURST_SECONDS
    assert world.store.get_into("packs/one", MemorySink(memoryview(bytearray(PACK)))) == len(PACK)
    assert world.clock.seconds == 33 - BURST_SECONDS
    world.put(b"next")
    assert world.clock.seconds == 49 - BURST_SECONDS


def test_small_requests_after_a_pause_do_not_wait(world: RateLimitSetup) -> None:
    world.clock.seconds += 100
    for _ in range(9):
        world.put(bytes(MIB // 10))
    assert world.clock.waits == []
    world.put(bytes(MIB))
    world.put(bytes(MIB))
    assert world.clock.waits != []


def test_a_conditional_write_does_not_wait_but_delays_the_next_request(
    world: RateLimitSetup,
) -> None:
    world.put()
    etag = world.store.put_if("HEAD", bytes(MIB), ABSENT)
    assert world.clock.waits == []
    assert world.memory.get("HEAD").etag == etag
    world.put()
    assert world.clock.seconds == 17 - BURST_SECONDS


def test_lists_and_deletes_do_not_wait(world: RateLimitSetup) -> None:
    world.put()
    assert [each.key for each in world.store.list("")] == ["packs/one"]
    world.store.delete(["packs/one"])
    assert list(world.memory.list("")) == []
    assert world.clock.waits == []


def test_without_a_limit_no_request_waits() -> None:
    world = RateLimitSetup(math.inf)
    for _ in range(3):
        world.put()
        world.store.get("packs/one")
    assert (world.clock.waits, world.throttled) == ([], [])


def test_a_waiting_request_is_sent_when_the_limit_is_lifted(world: RateLimitSetup) -> None:
    world.put()

    class Ending(FakeClock):
        """Lifts the limit during a wait."""

        def wait(self, seconds: float) -> bool:
            world.unthrottled = True
            return super().wait(seconds)

    world.limiter._clock = clock = Ending()
    world.put()
    assert len(clock.waits) == 1
    assert clock.seconds < 1
    world.put()
    assert len(clock.waits) == 1
    assert world.memory.get("packs/one").body == PACK


def test_a_waiting_request_is_sent_when_the_wait_is_interrupted(world: RateLimitSetup) -> None:
    world.put()
    world.clock.stop_after = 3
    world.put()
    assert len(world.clock.waits) == 3
    assert world.clock.seconds < 15


def test_the_throttled_seconds_are_reported(world: RateLimitSetup) -> None:
    world.put()
    world.put()
    world.put()
    assert world.throttled == [16 - BURST_SECONDS, 16]
    assert world.limiter.throttled_seconds() == 32 - BURST_SECONDS


def test_a_retried_request_counts_again_but_not_against_the_retry_timeout(
    world: RateLimitSetup,
) -> None:
    failures = [3]

    def fault(request: Request) -> StoreAwayError | None:
        if request.done or not failures[0]:
            return None
        failures[0] -= 1
        return StoreAwayError("503")

    world.memory.bucket.fault = fault
    clock = ThrottleAwareClock(world.clock, world.limiter)
    store = RetryingStore(world.store, clock, RetryPolicy(timeout=10, backoff=Backoff(1, 15)))
    store.put("packs/one", [PACK], DIGEST)
    assert failures == [0]
    assert world.clock.seconds >= 3 * 16 - BURST_SECONDS
    assert clock.monotonic() == 1 + 2 + 4


@given(st.lists(st.integers(0, 20 * MIB), max_size=30), st.integers(10, 200))
def test_never_more_than_the_rate_and_one_object(sizes: list[int], rate: int) -> None:
    world = RateLimitSetup(rate * MIB)
    sent = 0
    for size in sizes:
        world.limiter.acquire(size)
        assert sent <= rate * MIB * (world.clock.seconds + BURST_SECONDS) + MIB / 1000
        sent += size


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("", math.inf),
        ("100kB", 1e5),
        ("500Ki", 500 * 1024),
        ("20MiB", 20 * MIB),
        ("3M", 3e6),
        ("1GiB", 1 << 30),
    ],
)
def test_bandwidths_have_decimal_or_binary_units(text: str, rate: float) -> None:
    assert parse_bandwidth(text) == rate


@pytest.mark.parametrize(
    "text", ["20", "99kB", "0M", "-1M", "1.5MiB", "20 MiB", "20mb", "20MiB/s", "٣M", "inf", "1TB"]
)
def test_an_invalid_bandwidth_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(
        SettingsError, match=r"is not a bandwidth: write bytes per second.*such as 20MiB"
    ):
        parse_bandwidth(text)
