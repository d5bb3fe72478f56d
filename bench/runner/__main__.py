"""`python -m bench runner`: what `prepare` and `bridge` cost; exits 1 if a target is missed."""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.measure import command, say
from bench.runner.load import ask
from bench.runner.session import PROGRAM, Session, StubRunner
from bench.targets import Target, print_targets

TIMES = 7
IDLE_SECONDS = 60
LOAD_SECONDS = 5
RATES = (100, 1000)
TICKS = os.sysconf("SC_CLK_TCK")
EVERYTHING = "import reconcile.runner.cli, reconcile.runner.bridge"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench runner", description=__doc__)
    parser.add_argument("--times", type=int, default=TIMES, help="runs of what is short")
    parser.add_argument("--idle", type=int, default=IDLE_SECONDS, help="seconds of an idle bridge")
    options = parser.parse_args(arguments)
    load = f"load {os.getloadavg()[0]:.1f}"  # of other programs: it shows in all times but CPU
    print(f"{os.cpu_count()} cores, {load}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="reconcile-bench-") as folder:
        home = Path(folder)
        targets = [
            *_starts(home / "starts", options.times),
            *_idle(home / "idle", options.idle),
            *_answers(home / "answers"),
            _prompt(home / "prompt", options.times),
        ]
    return 0 if print_targets(targets) else 1


def _starts(home: Path, times: int) -> Iterator[Target]:
    """Compare starts with bare Python; the fastest of several."""
    session = Session(home)
    bare = _fastest((sys.executable, "-c", "pass"), home, times)
    starts = {
        "bare Python": bare,
        "reconcile-runner --help": _fastest((str(PROGRAM), "--help"), home, times),
        "prepare with nothing to do": _fastest(session.prepare(), home, times),
        "all that bridge imports": _fastest((sys.executable, "-c", EVERYTHING), home, times),
    }
    print("\nstart, ms (times bare Python), the fastest of several\n")
    for name, wall in starts.items():
        print(f"{name:<48}{1000 * wall:>8.0f}   ({wall / bare:.1f})")
    more = starts["prepare with nothing to do"] - bare
    yield Target("prepare: ms more than bare Python", 1000 * more, 400, at_least=False)


def _fastest(arguments: Sequence[str], home: Path, times: int) -> float:
    return min(command(arguments, log=home / "start.log").wall for _ in range(times))


def _idle(home: Path, seconds: int) -> Iterator[Target]:
    """Measure a bridge whose prompt is answered, and to which nothing happens."""
    with (
        StubRunner().running() as runner,
        Session(home).bridging(runner.port) as bridge,
    ):
        bridge.call_prompt(runner)
        time.sleep(2)
        say(f"an idle bridge for {seconds} s")
        before = _cpu_seconds(bridge.process.pid)
        time.sleep(seconds)
        used = _cpu_seconds(bridge.process.pid) - before
        yield Target("idle bridge: MiB", _rss_mib(bridge.process.pid), 45, at_least=False)
        yield Target("idle bridge: percent of a core", 100 * used / seconds, 0.1, at_least=False)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _answers(home: Path) -> Iterator[Target]:
    """Measure answers for a credential at two rates; the second is that of an agent's flood."""
    print("\nms until a credential is answered, from when its request was due\n")
    print(f"{'':<32}{'p50':>8}{'p99':>8}{'most':>8}{'failed':>8}{'CPU':>8}")
    with (
        StubRunner().running() as runner,
        Session(home).bridging(runner.port) as bridge,
    ):
        bridge.call_prompt(runner)
        for rate in RATES:
            path = f"{bridge.session.api}/credentials/github"
            before = _cpu_seconds(bridge.process.pid)
            answers = ask(bridge.session.port, path, rate, rate * LOAD_SECONDS)
            cpu = 1000 * (_cpu_seconds(bridge.process.pid) - before) / len(answers.times)
            p50, p99 = answers.percentile(50), answers.percentile(99)
            cells = (
                f"{p50:>8.1f}{p99:>8.1f}{max(answers.times):>8.1f}{answers.failed:>8}{cpu:>8.2f}"
            )
            print(f"{f'{rate} requests per second':<32}{cells}")
            if rate == RATES[0]:
                yield Target(f"p99 at {rate} requests per second: ms", p99, 10, at_least=False)
            yield Target(f"failed at {rate} requests per second", answers.failed, 0, at_least=False)


def _prompt(home: Path, times: int) -> Target:
    """Measure from the runner's own call to its run, each in a new workspace."""
    seconds = []
    for number in range(times):
        with (
            StubRunner().running() as runner,
            Session(home / str(number)).bridging(runner.port) as bridge,
        ):
            seconds.append(bridge.call_prompt(runner))
    text = "the runner's prompt call until its run: ms, slowest"
    return Target(text, 1000 * max(seconds), 1000, at_least=False)


if __name__ == "__main__":
    raise SystemExit(main())
