"""Runs a command or a function and returns its cost: time and peak memory."""

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
    """The cost of one run: wall and CPU seconds, peak memory in MiB (0 where not measured)."""

    wall: float
    cpu: float
    peak_mib: float = 0.0


def command(
    arguments: Sequence[str], *, log: Path, codes: Sequence[int] = (0,), env: Mapping[str, str] = {}
) -> Cost:
    """Run a program with its output in `log`; raises RuntimeError for other exit codes."""
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


def command_with_children(arguments: Sequence[str], *, log: Path) -> Cost:
    """Run a program and measure its memory with that of its children; shared pages count once.

    Samples may miss a peak of a few milliseconds, and sampling costs time.
    """
    began, peak = time.perf_counter(), 0.0
    with (
        log.open("wb") as output,
        subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        while process.poll() is None:
            peak = max(peak, _pss_mib(process.pid))
            time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {process.returncode}:\n{log.read_text()}")
    return Cost(time.perf_counter() - began, 0.0, peak)


def _pss_mib(pid: int) -> float:
    """Return the proportional set size of a process and its children in MiB."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(own.split()[1]) / 1024 + sum(_pss_mib(int(child)) for child in children)


def function(work: Callable[[], object], *, times: int = 1) -> Cost:
    """Call a function several times in this process; returns the cost of the fastest call."""
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
    """Print a line of progress to standard error."""
    print(f"# {text}", file=sys.stderr, flush=True)
