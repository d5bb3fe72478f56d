"""`python -m bench mirror`: the mirror beside its rivals; exits 1 if a promise is missed."""

import argparse
import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.mirror import show
from bench.mirror.floors import floors
from bench.mirror.limits import Limit, limits
from bench.mirror.programs import programs
from bench.mirror.run import Bench, Scene, scenes
from bench.mirror.server import Measured, running
from bench.mirror.tools import Tool, tools

SLOW = 0.02
MEMORY = Path("/dev/shm")
ROOM = 8 << 30
DELAYED = ("W1", "W2")
"""What is measured with latency too: large files have few requests."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _options(arguments)
    found = programs()
    chosen = [tool for tool in tools(found) if _wanted(tool.name, options.rivals)]
    picked = [scene for scene in scenes(quick=options.quick) if _wanted(scene.name, options.only)]
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {found.versions()}")
    print(f"server: {SERVERS[options.server]}; the best of {options.times} runs, whole processes")
    with (
        tempfile.TemporaryDirectory(prefix="reconcile-bench-", dir=_home(options.home)) as folder,
        running(options.server, Path(folder)) as server,
    ):
        bench = Bench(server, Path(folder), options.times)
        walls = _limits(picked, server, Path(folder))
        for latency in options.latency:
            _run(bench, picked, chosen, latency)
            show.show_cells(bench.cells, latency)
    show.show_limits(walls)
    show.show_losses(bench.losses)
    for failure in bench.failures:
        print(f"FAILED: {failure}")
    if options.quick:
        print("\nquick: trees are small, promises are not judged")
        return 1 if bench.failures else 0
    promises = list(floors(bench.cells, bench.changed))
    show.show_claims(promises)
    kept = all(promise.holds for promise in promises)
    return 0 if kept and not bench.failures else 1


SERVERS = {
    "memory": "an S3 in memory (bench/mirror/memory.py), which checks signatures",
    "ceph": "Ceph RGW on memstore, with latency behind a front",
}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench mirror", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small trees, nothing is judged")
    parser.add_argument("--server", choices=sorted(SERVERS), default="memory")
    parser.add_argument("--latency", type=_latencies, default=(0.0, SLOW), help="ms, such as 0,20")
    parser.add_argument("--only", type=_names, default=(), help="trees, such as W1,W2")
    parser.add_argument("--rivals", type=_names, default=(), help="such as rclone,restic")
    parser.add_argument("--times", type=int, default=3, help="runs of what is quick")
    parser.add_argument("--home", help="a folder for trees and logs (default: temporary)")
    return parser.parse_args(arguments)


def _home(asked: str | None) -> str | None:
    """Prefer memory to a disk, whose own cost (and memory of deleted files) hides the client."""
    room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    home = asked or (str(MEMORY) if room else None)
    print(f"trees below {home or tempfile.gettempdir()}")
    return home


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _latencies(text: str) -> tuple[float, ...]:
    return tuple(float(part) / 1000 for part in text.split(","))


def _wanted(name: str, names: Sequence[str]) -> bool:
    """Trees and tools by the beginning of their names; ours is always among the tools."""
    return not names or any(name.startswith(one) for one in ("reconcile", *names))


def _run(bench: Bench, picked: Sequence[Scene], chosen: Sequence[Tool], latency: float) -> None:
    for scene in picked:
        if not latency or scene.name in DELAYED:
            bench.run(scene, chosen, latency)


def _limits(picked: Sequence[Scene], server: Measured, home: Path) -> list[Limit]:
    return [
        limit
        for scene in picked
        if scene.comes_back
        for limit in limits(scene.name, scene.make, server, home)
    ]


if __name__ == "__main__":
    raise SystemExit(main())
