"""`python -m bench [WHAT]`: prints tables; exits 1 if a target is missed.

WHAT is cluster, scale, pull_request, runner, mirror or ending. Without it, the first three run.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import bench.pull_request
from bench.cluster import ClusterBench, Row, find_targets
from bench.mirror import __main__ as mirror
from bench.mirror import ending
from bench.runner import __main__ as runner
from bench.scale import ScaleRow, measure
from bench.targets import print_targets
from tests.controlplane.server import running

SUBCOMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "mirror": mirror.main,
    "ending": ending.main,
    "runner": runner.main,
}
"""Benchmarks that have options of their own."""

SIZES = (100, 1_000, 10_000)


def main() -> int:
    """Measure and print."""
    what, *rest = sys.argv[1:] or ["all"]
    if what in SUBCOMMANDS:
        return SUBCOMMANDS[what](rest)
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    choices = ("all", "cluster", "scale", "pull_request")
    parser.add_argument("what", nargs="?", choices=choices, default="all")
    parser.add_argument("--sessions", type=int, default=1_000)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}")
    met = True
    if options.what in {"all", "cluster"}:
        met = cluster(options.sessions)
    if options.what in {"all", "pull_request"}:
        met = pull_request(options.sessions) and met
    if options.what in {"all", "scale"}:
        print_scale([measure(size) for size in SIZES])
    return 0 if met else 1


def cluster(sessions: int) -> bool:
    """Measure on the real API server; returns whether every target is met."""
    with tempfile.TemporaryDirectory(prefix="reconcile-bench-") as folder:
        home = Path(folder)
        with running(home / "controlplane") as plane:
            rows = ClusterBench(plane, home, sessions).run()
    print_rows(sessions, rows)
    return print_targets(find_targets(rows))


def pull_request(sessions: int) -> bool:
    """Measure a commit without any cluster; returns whether the target is met."""
    with tempfile.TemporaryDirectory(prefix="reconcile-bench-") as folder:
        rows = bench.pull_request.measure(Path(folder), sessions)
    print(f"\n{sessions} sessions, {bench.pull_request.CHANGED} changed, no cluster\n")
    print(f"{'':<32}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}")
    for row in rows:
        cost = row.cost
        print(f"{row.name:<32}{cost.wall:>9.2f}{cost.cpu:>9.2f}{cost.peak_mib:>10.0f}")
    return print_targets(bench.pull_request.find_targets(rows))


def print_rows(sessions: int, rows: Sequence[Row]) -> None:
    """Print what each run cost."""
    print(f"\n{sessions} sessions, {sessions * 6} objects, one namespace, real API server\n")
    print(f"{'':<30}{'wall s':>9}{'CPU s':>9}{'peak MiB':>10}{'requests':>10}")
    for row in rows:
        cost = row.cost
        figures = f"{cost.wall:>9.2f}{cost.cpu:>9.2f}{cost.peak_mib:>10.0f}{row.requests:>10}"
        print(f"{row.name:<30}{figures}")


def print_scale(rows: Sequence[ScaleRow]) -> None:
    """Print seconds, and milliseconds per session, which should not grow."""
    print("\nseconds (ms per session), embedded cluster in memory, one thread\n")
    print(f"{'sessions':>9}{'build':>17}{'first apply':>17}{'cold no-op':>17}{'warm no-op':>17}")
    for row in rows:
        cells = (row.build, row.apply, row.cold, row.warm)
        shown = (f"{cell:>9.2f} ({1000 * cell / row.sessions:.2f})".rjust(17) for cell in cells)
        print(f"{row.sessions:>9}{''.join(shown)}")


if __name__ == "__main__":
    raise SystemExit(main())
