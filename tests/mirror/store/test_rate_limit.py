"""Requests keep to a bandwidth, by a clock that waits for nobody, until time is what is short."""

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
from tests.clocks import FakeClock
from tests.mirror.memory_store import MemoryStore, Request

MIB = 1 << 20
PACK = bytes(16 * MIB)
DIGEST = hashlib.sha256(PACK).hexdigest()


class RateLimitSetup:
    """A store with a rate limit, and the waits that it reported."""

    def __init__(self, rate: float = MIB) -> None:
        self.clock = FakeClock()
        self.free = False
        self.heard: list[float] = []
        self.pace = RateLimiter(rate, self.clock, lambda: self.free, self.heard.append)
        self.memory = MemoryStore()
        self.store = RateLimitedStore(self.memory, self.pace)

    def put(self, body: bytes = PACK) -> None:
        self.store.put("packs/one", [body[:7], body[7:]], hashlib.sha256(body).hexdigest())


@pytest.fixture
def world() -> RateLimitSetup:
    return RateLimitSetup()


def test_a_pack_waits_until_the_one_before_it_has_had_its_time(world: RateLimitSetup) -> None:
    world.put()
    assert world.clock.seconds == 0
    world.put()
    assert world.clock.seconds == 16 - BURST_SECONDS
    world.put()
    assert world.clock.seconds == 32 - BURST_SECONDS


def test_what_was_got_counts_as_what_was_sent(world: RateLimitSetup) -> None:
    world.put()
    assert world.store.get("packs/one").body == PACK
    assert world.clock.seconds == 16 - BURST_SECONDS
    assert world.store.get_range("packs/one", 5, MIB) == PACK[:MIB]
    assert world.clock.seconds == 32 - BURST_SECONDS
    assert world.store.get_into("packs/one", MemorySink(memoryview(bytearray(PACK)))) == len(PACK)
    assert world.clock.seconds == 33 - BURST_SECONDS
    world.put(b"next")
    assert world.clock.seconds == 49 - BURST_SECONDS


def test_small_requests_after_a_rest_wait_for_nothing(world: RateLimitSetup) -> None:
    world.clock.seconds += 100
    for _ in range(9):
        world.put(bytes(MIB // 10))
    assert world.clock.waits == []
    world.put(bytes(MIB))
    world.put(bytes(MIB))
    assert world.clock.waits != []


def test_a_conditional_write_goes_at_once_and_is_paid_by_the_next(world: RateLimitSetup) -> None:
    world.put()
    etag = world.store.put_if("HEAD", bytes(MIB), ABSENT)
    assert world.clock.waits == []
    assert world.memory.get("HEAD").etag == etag
    world.put()
    assert world.clock.seconds == 17 - BURST_SECONDS


def test_lists_and_deletes_wait_for_nothing(world: RateLimitSetup) -> None:
    world.put()
    assert [each.key for each in world.store.list("")] == ["packs/one"]
    world.store.delete(["packs/one"])
    assert list(world.memory.list("")) == []
    assert world.clock.waits == []


def test_without_a_bound_nothing_waits() -> None:
    world = RateLimitSetup(math.inf)
    for _ in range(3):
        world.put()
        world.store.get("packs/one")
    assert (world.clock.waits, world.heard) == ([], [])


def test_what_waits_goes_at_once_when_the_end_begins(world: RateLimitSetup) -> None:
    world.put()

    class Ending(FakeClock):
        """The end begins while somebody waits."""

        def wait(self, seconds: float) -> bool:
            world.free = True
            return super().wait(seconds)

    world.pace._clock = clock = Ending()
    world.put()
    assert len(clock.waits) == 1
    assert clock.seconds < 1
    world.put()
    assert len(clock.waits) == 1
    assert world.memory.get("packs/one").body == PACK


def test_what_waits_goes_at_once_when_the_clock_is_cut_short(world: RateLimitSetup) -> None:
    world.put()
    world.clock.stop_after = 3
    world.put()
    assert len(world.clock.waits) == 3
    assert world.clock.seconds < 15


def test_the_seconds_that_were_waited_are_told(world: RateLimitSetup) -> None:
    world.put()
    world.put()
    world.put()
    assert world.heard == [16 - BURST_SECONDS, 16]
    assert world.pace.throttled_seconds() == 32 - BURST_SECONDS


def test_what_is_sent_again_counts_again_and_takes_nothing_of_the_patience(
    world: RateLimitSetup,
) -> None:
    left = [3]

    def fault(request: Request) -> StoreAwayError | None:
        if request.done or not left[0]:
            return None
        left[0] -= 1
        return StoreAwayError("503")

    world.memory.bucket.fault = fault
    patient = ThrottleAwareClock(world.clock, world.pace)
    store = RetryingStore(world.store, patient, RetryPolicy(timeout=10, initial_delay=1))
    store.put("packs/one", [PACK], DIGEST)
    assert left == [0]
    assert world.clock.seconds >= 3 * 16 - BURST_SECONDS
    assert patient.monotonic() == 1 + 2 + 4


@given(st.lists(st.integers(0, 20 * MIB), max_size=30), st.integers(10, 200))
def test_never_more_than_the_rate_and_one_object(sizes: list[int], rate: int) -> None:
    world = RateLimitSetup(rate * MIB)
    sent = 0
    for size in sizes:
        world.pace.acquire(size)
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
def test_bandwidths_are_read_as_people_write_them(text: str, rate: float) -> None:
    assert parse_bandwidth(text) == rate


@pytest.mark.parametrize(
    "text", ["20", "99kB", "0M", "-1M", "1.5MiB", "20 MiB", "20mb", "20MiB/s", "٣M", "inf", "1TB"]
)
def test_a_bandwidth_that_makes_no_sense_is_refused_with_a_good_one(text: str) -> None:
    with pytest.raises(SettingsError, match=r"no bandwidth: write bytes a second.*such as 20MiB"):
        parse_bandwidth(text)
