"""Runs a command or a function and says what it cost."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_Result = TypeVar("_Result")
_LAUNCH = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Cost:
    """What one run cost: seconds of wall and of CPU, MiB of peak memory (0 where not told)."""

    wall: float
    cpu: float
    peak_mib: float = 0.0


def command(
    arguments: Sequence[str], *, log: Path, codes: Sequence[int] = (0,), env: Mapping[str, str] = {}
) -> Cost:
    """Run a program to its end; its output goes to `log`. RuntimeError for any other exit code."""
    result = log.with_name(f"{log.name}.cost")
    launch = (sys.executable, "-I", "-S", str(_LAUNCH), str(result), *arguments)
    with log.open("wb") as output:
        subprocess.run(
            launch, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **env}, check=True
        )
    wall, cpu, kib, code = result.read_text().split()
    if int(code) not in codes:
        tail = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{arguments[0]} ended with {code}:\n{tail}")
    return Cost(float(wall), float(cpu), int(kib) / 1024)


def together(arguments: Sequence[str], *, log: Path) -> Cost:
    """Run a program; its memory is that of its children too, with what they share counted once.

    Samples may miss a peak that lasts some milliseconds, and asking for them costs time.
    """
    began, peak = time.perf_counter(), 0.0
    with (
        log.open("wb") as output,
        subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        while process.poll() is None:
            peak = max(peak, _shares(process.pid))
            time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {process.returncode}:\n{log.read_text()}")
    return Cost(time.perf_counter() - began, 0.0, peak)


def _shares(pid: int) -> float:
    """Return the MiB of a process and its children that are their own or their part of a page."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(own.split()[1]) / 1024 + sum(_shares(int(child)) for child in children)


def function(work: Callable[[], object], *, times: int = 1) -> Cost:
    """Call a function several times in this process; the fastest call counts."""
    costs = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.perf_counter()
        work()
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        costs.append(Cost(wall, cpu, after.ru_maxrss / 1024))
    return min(costs, key=lambda cost: cost.wall)


def say(text: str) -> None:
    """Tell how far the benchmark is."""
    print(f"# {text}", file=sys.stderr, flush=True)
