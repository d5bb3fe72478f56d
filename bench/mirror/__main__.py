"""`python -m bench mirror`: compares the mirror with its rivals; exits 1 if a target is missed."""

import argparse
import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.mirror import show
from bench.mirror.limits import Limit, limits
from bench.mirror.programs import programs
from bench.mirror.run import Bench, Scene, scenes
from bench.mirror.server import Measured, running
from bench.mirror.targets import find_targets
from bench.mirror.tools import Tool, tools
from bench.targets import print_targets

SLOW = 0.02
MEMORY = Path("/dev/shm")
NEEDED_BYTES = 8 << 30
DELAYED = ("W1", "W2")
"""The trees that are measured with latency too; large files need few requests."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _options(arguments)
    found = programs()
    chosen = [tool for tool in tools(found) if _wanted(tool.name, options.rivals)]
    picked = [scene for scene in scenes(quick=options.quick) if _wanted(scene.name, options.only)]
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {found.versions()}")
    print(
        f"server: {SERVERS[options.server]}; the best of {options.times} runs, complete processes"
    )
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
        print("\nquick: trees are small, targets are not checked")
        return 1 if bench.failures else 0
    met = print_targets(list(find_targets(bench.cells, bench.changed)))
    return 0 if met and not bench.failures else 1


SERVERS = {
    "memory": "an S3 server in memory (bench/mirror/memory.py), which checks signatures",
    "ceph": "Ceph RGW on memstore; latency comes from a proxy",
}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench mirror", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small trees; targets are not checked")
    parser.add_argument("--server", choices=sorted(SERVERS), default="memory")
    parser.add_argument("--latency", type=_latencies, default=(0.0, SLOW), help="ms, such as 0,20")
    parser.add_argument("--only", type=_names, default=(), help="trees, such as W1,W2")
    parser.add_argument("--rivals", type=_names, default=(), help="such as rclone,restic")
    parser.add_argument(
        "--times", type=int, default=3, help="runs of each operation that takes less than 15 s"
    )
    parser.add_argument("--home", help="a folder for trees and logs (default: temporary)")
    return parser.parse_args(arguments)


def _home(requested: str | None) -> str | None:
    """Prefer memory to a disk, whose own cost would hide that of the client."""
    fits = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > NEEDED_BYTES
    home = requested or (str(MEMORY) if fits else None)
    print(f"trees below {home or tempfile.gettempdir()}")
    return home


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _latencies(text: str) -> tuple[float, ...]:
    return tuple(float(part) / 1000 for part in text.split(","))


def _wanted(name: str, names: Sequence[str]) -> bool:
    """Select trees and tools by the beginning of their names; reconcile-mirror always runs."""
    return not names or any(name.startswith(one) for one in ("reconcile", *names))


def _run(bench: Bench, picked: Sequence[Scene], chosen: Sequence[Tool], latency: float) -> None:
    for scene in picked:
        if not latency or scene.name in DELAYED:
            bench.run(scene, chosen, latency)


def _limits(picked: Sequence[Scene], server: Measured, home: Path) -> list[Limit]:
    return [
        limit
        for scene in picked
        if scene.is_restored
        for limit in limits(scene.name, scene.make, server, home)
    ]


if __name__ == "__main__":
    raise SystemExit(main())
