"""`python -m bench ending`: memory with 100,000 files, and the reaction to SIGTERM in a pass."""

import argparse
import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.measure import Cost, command, command_with_children
from bench.mirror.server import Measured, running
from bench.mirror.startup import measure as measure_start
from bench.mirror.tools import Ours, Place
from bench.targets import Target, print_targets
from bench.trees import w1

FILES = 100_000
FLUSH = 10
START = 0.3
"""Seconds until the interpreter has started and a pass can begin."""

MOMENTS = (0.2, 0.6, 1.2, 2.0, 4.0)
"""Seconds after its start at which a sync gets SIGTERM."""


@dataclass(frozen=True, slots=True)
class End:
    """How one sync ended: seconds from SIGTERM until each event."""

    received: float
    flush: float
    exit: float
    outcome: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench ending", description=__doc__)
    parser.add_argument("--files", type=int, default=FILES)
    files = parser.parse_args(arguments).files
    with tempfile.TemporaryDirectory(prefix="reconcile-bench-") as folder:
        home = Path(folder)
        with running("memory", home) as server:
            targets = [*_memory(server, home, files), *_ends(server, home)]
    moments = ", ".join(map(str, MOMENTS))
    print(f"\n{files} files of 1 KiB; SIGTERM is sent {moments} s after the start")
    met = print_targets(targets)
    return 0 if measure_start() and met else 1


def _memory(server: Measured, home: Path, files: int) -> list[Target]:
    tree = home / "tree"
    w1(tree, files, 1024)
    ours, place = Ours(), _place(server, home)
    log = home / "log"
    for step in ours.prepare(place, tree):
        command(step.command, log=log)
    cold = command(ours.up(place, tree).command, log=log)
    again = command(ours.up(place, tree).command, log=log)
    (tree / "one-more").write_bytes(b"1")
    change = command(ours.up(place, tree).command, log=log)
    back = _hydrate(ours, place, home)
    runs = {"first sync": cold, "no-op": again, "one new file": change, "hydrate": back}
    fewer = files * 2 // 5
    runs[f"hydrate of {fewer}, both processes"] = _hydrate_with_worker(server, home, fewer)
    return [
        Target(f"{name}: peak MiB ({cost.wall:.1f} s)", cost.peak_mib, 150, at_least=False)
        for name, cost in runs.items()
    ]


def _hydrate_with_worker(server: Measured, home: Path, files: int) -> Cost:
    """Restore so few files that the worker process is still used."""
    tree = home / "half"
    w1(tree, files, 1024)
    ours, place = Ours(), _place(server, home)
    for step in (*ours.prepare(place, tree), ours.up(place, tree)):
        command(step.command, log=home / "log")
    shutil.rmtree(tree)
    return _hydrate(ours, place, home)


def _hydrate(ours: Ours, place: Place, home: Path) -> Cost:
    into = home / "back"
    into.mkdir()
    cost = command_with_children(ours.down(place, into).command, log=home / "log")
    shutil.rmtree(into)
    return cost


def _place(server: Measured, home: Path) -> Place:
    notes = home / "notes"
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir()
    return Place(server.access, server.bucket(), notes)


def _ends(server: Measured, home: Path) -> list[Target]:
    ends = [_end(server, home, moment) for moment in MOMENTS]
    for moment, end in zip(MOMENTS, ends, strict=True):
        print(f"# SIGTERM after {moment} s: {end.outcome}, ended {end.exit:.2f} s later")
    return [
        Target(
            "ms until SIGTERM is received",
            1000 * max(e.received for e in ends),
            100,
            at_least=False,
        ),
        Target("seconds until the flush begins", max(e.flush for e in ends), 1, at_least=False),
        Target("seconds until the process exits", max(e.exit for e in ends), FLUSH, at_least=False),
    ]


def _end(server: Measured, home: Path, moment: float) -> End:
    tree, ours, place = home / "tree", Ours(), _place(server, home)
    for step in ours.prepare(place, tree):
        command(step.command, log=home / "log")
    once = ours.up(place, tree).command
    report = home / "report"
    report.unlink(missing_ok=True)
    options = (f"--flush-seconds={FLUSH}", f"--termination-log={report}")
    program = [part for part in once if part != "--once"]
    with subprocess.Popen([*program, *options], stderr=subprocess.PIPE, text=True) as process:
        time.sleep(moment + START)
        sent = time.time()
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        events = {line["event"]: _time(line["time"]) for line in map(json.loads, process.stderr)}
        process.wait()
        ended = time.time()
    received = events["end asked for"] - sent
    outcome = json.loads(report.read_text())["outcome"]
    return End(received, events.get("flush begins", sent) - sent, ended - sent, outcome)


def _time(text: str) -> float:
    whole, _, rest = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{rest}")
