"""Runs every tool on the same trees and the same server, one after the other."""

import shutil
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import trees
from bench.measure import Cost, command, say
from bench.mirror.server import UNCOUNTED, Counts, Measured
from bench.mirror.tools import Place, Step, Tool, root_of
from tests.mirror.compare_trees import differences, facts

SLOW_RUN = 15.0
"""Seconds: a longer operation is measured once, a shorter one as often as requested."""

TOO_SLOW = 100.0
"""Seconds: if the first upload takes longer, nothing else is measured for that tool and tree."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One operation of one tool over one tree; the fastest of its runs."""

    tree: str
    operation: str
    tool: str
    cost: Cost
    counts: Counts
    latency: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A tree: how it is made, and how it changes between two uploads."""

    name: str
    make: Callable[[Path], None]
    change: Callable[[Path], None] | None = None
    is_restored: bool = True
    has_no_op: bool = True


def scenes(*, quick: bool) -> list[Scene]:
    """Return W1, W2 with W4, W3, W5."""
    if quick:
        return [
            Scene("W1", lambda root: trees.w1(root, 1000)),
            Scene("W2", lambda root: trees.w2(root, 0.05), trees.w4),
            Scene("W3", lambda root: trees.w3(root, 64 << 20), has_no_op=False),
            Scene("W5", lambda root: trees.w5(root, 64 << 20), trees.append, is_restored=False),
        ]
    return [
        Scene("W1", trees.w1),
        Scene("W2", trees.w2, trees.w4),
        Scene("W3", trees.w3, has_no_op=False),
        Scene("W5", trees.w5, trees.append, is_restored=False, has_no_op=False),
    ]


class Bench:
    """Runs the measurements; `home` is the folder for trees, notes and logs."""

    def __init__(self, server: Measured, home: Path, times: int) -> None:
        self._server = server
        self._home = home
        self._times = times
        self._latency = 0.0
        self.cells: list[Cell] = []
        self.losses: dict[str, list[str]] = {}
        self.failures: list[str] = []
        self.changed = 0

    def run(self, scene: Scene, tools: Sequence[Tool], latency: float) -> None:
        """Measure one tree with all tools; a failure is recorded, and the next tool runs."""
        self._latency = latency
        for tool in tools:
            what = f"{scene.name}, {1000 * latency:.0f} ms: {tool.name}"
            say(what)
            try:
                self._measure(scene, tool)
            except RuntimeError as error:
                say(str(error))
                self.failures.append(what)

    def _measure(self, scene: Scene, tool: Tool) -> None:
        folder = self._home / "scene"
        tree = folder / "tree"
        shutil.rmtree(folder, ignore_errors=True)
        tree.mkdir(parents=True)
        scene.make(tree)
        removed = [] if tool.takes_hard_names else _without_hard_names(tree)
        place = self._cold(scene, tool, tree)
        if self.cells[-1].cost.wall < TOO_SLOW:
            self._measure_rest(scene, tool, place, tree)
            if tool.name in self.losses and not self._latency and scene.name == "W2":
                self.losses[tool.name] += removed
        shutil.rmtree(folder)

    def _measure_rest(self, scene: Scene, tool: Tool, place: Place, tree: Path) -> None:
        if scene.has_no_op:
            self._repeat(scene, tool, "no-op", lambda: tool.up(place, tree))
        if scene.change is not None:
            began = time.time_ns()
            scene.change(tree)
            if scene.name == "W2":
                self.changed = _written_since(tree, began)
            self._record(scene, tool, "incremental", [self._once(tool.up(place, tree))])
        if scene.is_restored:
            self._down(scene, tool, place, tree)

    def _cold(self, scene: Scene, tool: Tool, tree: Path) -> Place:
        runs = []
        while True:
            place = self._place(tool, tree)
            runs.append(self._once(tool.up(place, tree)))
            if len(runs) == self._times or runs[-1][0].wall > SLOW_RUN:
                self._record(scene, tool, "cold", runs)
                return place

    def _down(self, scene: Scene, tool: Tool, place: Place, tree: Path) -> None:
        into = self._home / "scene" / "back"

        def step() -> Step:
            shutil.rmtree(into, ignore_errors=True)
            into.mkdir()
            return tool.down(place, into)

        self._repeat(scene, tool, "hydrate", step)
        if scene.name == "W2" and tool.name not in self.losses:
            self.losses[tool.name] = differences(tree, root_of(tool, into, tree))

    def _repeat(self, scene: Scene, tool: Tool, operation: str, step: Callable[[], Step]) -> None:
        runs = []
        while not runs or (len(runs) < self._times and runs[-1][0].wall <= SLOW_RUN):
            runs.append(self._once(step()))
        self._record(scene, tool, operation, runs)

    def _place(self, tool: Tool, tree: Path) -> Place:
        notes = self._home / "scene" / "notes"
        shutil.rmtree(notes, ignore_errors=True)
        notes.mkdir()
        self._server.delay(self._latency)
        bucket = self._server.bucket()
        place = Place(self._server.access, bucket, notes)
        for step in tool.prepare(place, tree):
            self._once(step)
        return place

    def _once(self, step: Step) -> tuple[Cost, Counts]:
        self._server.delay(self._latency)
        self._server.counts()
        log = self._home / "log"
        cost = command(step.command, log=log, codes=step.codes, env=step.env)
        return cost, self._server.counts()

    def _record(
        self, scene: Scene, tool: Tool, operation: str, runs: Sequence[tuple[Cost, Counts]]
    ) -> None:
        cost, counts = min(runs, key=lambda run: run[0].wall)
        requests = "" if counts == UNCOUNTED else f", {counts.requests} requests"
        say(f"  {operation}: {cost.wall:.2f} s{requests}")
        self.cells.append(Cell(scene.name, operation, tool.name, cost, counts, self._latency))


def _without_hard_names(tree: Path) -> list[str]:
    """Remove the names that a tool cannot read; returns a line for each."""
    odd = facts(tree / "odd") if (tree / "odd").exists() else {}
    shutil.rmtree(tree / "odd", ignore_errors=True)
    return [f"{name!r}: {fact.kind} {fact.mode} 0 became nothing" for name, fact in odd.items()]


def _written_since(tree: Path, began: int) -> int:
    """Return the bytes of the files below `tree` that were written since `began`."""
    statuses = (path.lstat() for path in tree.rglob("*"))
    tick = 10**7
    return sum(
        status.st_size
        for status in statuses
        if stat.S_ISREG(status.st_mode) and status.st_ctime_ns >= began - tick
    )
