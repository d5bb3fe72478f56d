"""Any single request may fail in any way: repeated passes end where they should, nothing twice.

Every pass is made once for each of its requests, with one fault in that request's place. So that
they need not wait for each other, each has a tree, an installation and sessions of its own.
"""

import contextlib
import itertools
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconcile.core.changes import Keep
from tests.controlplane.access import ControlPlane
from tests.controlplane.faults import Answer, Drop, Fault, Front, Hang, When, faulty, on_request
from tests.e2e.fast_engine import LONG_TIMEOUT_SECONDS, SHORT_TIMEOUT_SECONDS, Engine
from tests.e2e.site import Object, Site
from tests.e2e.situations import (
    SITUATIONS,
    InstallationFactory,
    ServerInstallation,
    Situation,
    assert_complete,
    assert_nothing_was_made_twice,
    first,
    maker,
    update,
)

pytestmark = pytest.mark.cluster

FAULTS: dict[str, Fault] = {
    "429": Answer(429, retry_after_s=1),
    "500": Answer(500),
    "503": Answer(503),
    "dropped before": Drop(When.BEFORE),
    "dropped after": Drop(When.AFTER),
    "silent before": Hang(When.BEFORE),
    "silent after": Hang(When.AFTER),
}
AT_ONCE = 6
"""How many worlds are tried side by side; most of the time they wait."""

MOST_PASSES = 8


@pytest.fixture
def worlds(site: Site, tmp_path: Path) -> InstallationFactory:
    return maker(site, tmp_path)


@pytest.fixture
def stranger(site: Site) -> Object:
    return site.create("ConfigMap", {"metadata": {"name": "w0-theirs"}, "data": {"a": "1"}})


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_whichever_request_fails_repeated_passes_end_in_the_desired_state(
    site: Site,
    worlds: InstallationFactory,
    stranger: Object,
    situation: Situation,
    fault: Fault,
) -> None:
    numbers = range(1, requests_of(worlds(situation)) + 1)
    mark = site.plane.audit().mark()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        idle = queue.SimpleQueue[Trapped]()
        for _ in range(AT_ONCE):
            idle.put(stack.enter_context(trapped(site.plane)))

        def examine(number: int) -> int:
            front = idle.get()
            try:
                return survive(worlds(situation), front, number, fault)
            finally:
                idle.put(front)

        passes = list(pool.map(examine, numbers))
    assert max(passes) > 1, "no fault made any difference"
    assert_nothing_was_made_twice(site, mark, replaced=situation is update)
    assert site.get("ConfigMap", "w0-theirs") == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        **stranger,
    }


@dataclass(slots=True)
class Trap:
    """A plan that fails the request which comes as number `left` from now on, if any."""

    left: int = 0
    fault: Fault | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, _number: int, _method: str, _path: str) -> Fault | None:
        with self.lock:
            self.left -= 1
            return self.fault if self.left == 0 else None


@dataclass(frozen=True, slots=True)
class Trapped:
    """A front that is used again and again: there are not so many ports."""

    front: Front
    trap: Trap


@contextlib.contextmanager
def trapped(plane: ControlPlane) -> Iterator[Trapped]:
    trap = Trap()
    with faulty(plane, trap) as front:
        yield Trapped(front, trap)


def requests_of(world: ServerInstallation) -> int:
    """Count the requests of a pass in which nothing fails."""
    with trapped(world.site.plane) as front:
        assert through(front.front, world, tries=1).passes()
        return len(front.front.received)


def survive(world: ServerInstallation, front: Trapped, number: int, fault: Fault) -> int:
    """Pass until all is done, the request with this number failing; return how many it took."""
    before = world.objects()
    front.trap.left, front.trap.fault = number, fault
    engine = through(front.front, world, tries=1, silence_s=SHORT_TIMEOUT_SECONDS)
    passes = next((n for n in range(1, MOST_PASSES + 1) if engine.passes()), 0)
    assert passes, f"{fault} in place of request {number}: not done after {MOST_PASSES} passes"
    assert world.engine().is_settled(), f"{fault} in place of request {number}"
    assert_complete(world, before)
    return passes


def through(
    front: Front, world: ServerInstallation, tries: int, silence_s: float = LONG_TIMEOUT_SECONDS
) -> Engine:
    return Engine(front.redirect(world.site.kubeconfig), world.tree, tries, silence_s)


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_one_pass_is_enough_where_requests_are_repeated(
    site: Site,
    worlds: InstallationFactory,
    situation: Situation,
) -> None:
    """Every third request fails, each in another way."""
    kinds = itertools.cycle(each for each in FAULTS.values() if not isinstance(each, Hang))

    def plan(number: int, _method: str, _path: str) -> Fault | None:
        return next(kinds) if number % 3 == 0 else None

    world = worlds(situation)
    with faulty(site.plane, plan) as front:
        assert through(front, world, tries=6).passes()
    assert world.engine().is_settled()


def test_the_servers_wish_to_wait_is_obeyed(site: Site, worlds: InstallationFactory) -> None:
    world = worlds(first)
    with faulty(site.plane, on_request(3, Answer(429, retry_after_s=7))) as front:
        engine = through(front, world, tries=2)
        assert engine.passes()
    assert max(engine.clock.waits) == 7


def test_an_outage_ends_a_pass_and_the_next_one_goes_on(
    site: Site, worlds: InstallationFactory
) -> None:
    world = worlds(first)

    def outage(number: int, _method: str, _path: str) -> Fault | None:
        return Answer(503) if number > 14 else None

    with faulty(site.plane, outage) as front:
        assert not through(front, world, tries=2).passes()
    assert not all(isinstance(c, Keep) for c in world.engine().plan().plan.changes)
    world.settle()
    assert world.engine().is_settled()
