"""The program may be killed at any point: the next run goes on where the last one ended."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.controlplane.access import ControlPlane
from tests.controlplane.faults import Drop, Fault, Front, When, faulty
from tests.e2e import site as sites
from tests.e2e.site import Site
from tests.e2e.situations import (
    SITUATIONS,
    ServerInstallation,
    Situation,
    assert_complete,
    assert_nothing_was_made_twice,
    maker,
    update,
)

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
AT_ONCE = 2


@dataclass(slots=True)
class Killer:
    """A plan that kills the program at its write number `point`, before or after it took effect."""

    point: int = 0
    when: When = When.BEFORE
    process: "subprocess.Popen[bytes] | None" = None
    writes: int = 0
    started: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def aim(self, point: int, when: When) -> None:
        self.point, self.when, self.writes = point, when, 0
        self.started.clear()

    def __call__(self, _number: int, method: str, _path: str) -> Fault | None:
        self.started.wait()
        with self.lock:
            self.writes += method in {"PATCH", "POST", "PUT", "DELETE"}
            if self.writes != self.point or method == "GET":
                return None
            assert self.process is not None
            os.kill(self.process.pid, signal.SIGKILL)
            return Drop(self.when)


@contextlib.contextmanager
def killing(plane: ControlPlane) -> Iterator[tuple[Front, Killer]]:
    killer = Killer()
    with faulty(plane, killer) as front:
        yield front, killer


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_wherever_the_program_is_killed_the_next_run_ends_in_the_desired_state(
    site: Site, tmp_path: Path, situation: Situation
) -> None:
    worlds = maker(site, tmp_path)
    theirs = site.create("ConfigMap", {"metadata": {"name": "w0-theirs"}, "data": {"a": "1"}})
    mark = site.plane.audit().mark()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        idle = queue.SimpleQueue[tuple[Front, Killer]]()
        for _ in range(AT_ONCE):
            idle.put(stack.enter_context(killing(site.plane)))

        def examine(point: int) -> int:
            front, killer = idle.get()
            try:
                return survive(worlds(situation), front, killer, point)
            finally:
                idle.put((front, killer))

        codes = list(pool.map(examine, range(1, points(worlds(situation)) + 1)))
    assert set(codes) == {-signal.SIGKILL}
    assert len(codes) >= 6
    assert_nothing_was_made_twice(site, mark, replaced=situation is update)
    assert site.get("ConfigMap", "w0-theirs")["metadata"] == theirs["metadata"]


@pytest.mark.parametrize("point", [2, 3, 4, 7, 10, 14])
def test_what_a_killed_run_has_made_is_found_though_its_folder_is_gone(
    site: Site, tmp_path: Path, point: int
) -> None:
    elsewhere = site.second_namespace()

    def two_namespaces(world: ServerInstallation) -> None:
        world.policy(namespaces=[])
        world.session("a")
        world.session("b", folder=elsewhere)

    world = maker(site, tmp_path)(two_namespaces)
    with killing(site.plane) as (front, killer):
        killer.aim(point, When.AFTER)
        assert run(world, front, killer) == -signal.SIGKILL
    sites.discard(world.tree / elsewhere)
    world.settle()
    assert site.everything(elsewhere) == {}
    assert world.engine().is_settled()


def points(world: ServerInstallation) -> int:
    """Count the writes of a run that is not killed."""
    with killing(world.site.plane) as (front, killer):
        assert run(world, front, killer) == 0
        return killer.writes


def survive(world: ServerInstallation, front: Front, killer: Killer, point: int) -> int:
    """Run and be killed, run again; return how the first run ended."""
    before = world.objects()
    killer.aim(point, When.AFTER if point % 2 else When.BEFORE)
    code = run(world, front, killer)
    world.settle()
    left = world.engine().left()
    assert left == [], f"killed at write {point}"
    assert_complete(world, before)
    return code


def run(world: ServerInstallation, front: Front, killer: Killer) -> int:
    kubeconfig = front.redirect(world.site.kubeconfig)
    command = [sys.executable, "-m", "reconcile", "apply", str(world.tree)]
    with subprocess.Popen(
        [*command, "--kubeconfig", str(kubeconfig)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        killer.process = process
        killer.started.set()
        return process.wait(timeout=120)


def test_a_run_that_is_killed_between_the_requests_is_no_different(
    site: Site, tmp_path: Path
) -> None:
    """Kill by the clock as well: at the start, while reading, while the pool winds down."""
    worlds = maker(site, tmp_path)

    def examine(tenths: int) -> None:
        world = worlds(SITUATIONS["a first apply"])
        command = [sys.executable, "-m", "reconcile", "apply", str(world.tree)]
        with subprocess.Popen(
            [*command, "--kubeconfig", str(site.kubeconfig)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=tenths / 10)
            process.kill()
        world.settle()
        assert world.engine().is_settled()
        assert_complete(world, {})

    mark = site.plane.audit().mark()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(examine, [3, 5, 7, 9, 11, 13]))
    assert_nothing_was_made_twice(site, mark, replaced=False)
