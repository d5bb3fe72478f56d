"""The diff of one commit of a pull request, compared with rendering both of its sides."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Cost, command, say
from bench.sessions import write_tree
from bench.targets import Target

CHANGED = 3
_ROUNDS = 3
_IDENTITY = ("-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "gc.auto=0")


@dataclass(frozen=True)
class PullRequestRow:
    """The cost of one command, the fastest of several runs."""

    name: str
    cost: Cost


def measure(home: Path, sessions: int) -> list[PullRequestRow]:
    """Make two commits, and compare them in both ways."""
    say(f"commit {sessions} sessions, and change {CHANGED} of them")
    after = home / "after"
    write_tree(after / "desired", "bench", sessions)
    _git(after, "init", "-q")
    _commit(after)
    for path in sorted((after / "desired/bench").iterdir())[:: -(-sessions // CHANGED)]:
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("LOG_LEVEL: info", "LOG_LEVEL: debug"), encoding="utf-8")
    _commit(after)
    before = home / "before"
    _git(after, "worktree", "add", "-q", str(before), "HEAD~1")
    old, new = str(before / "desired"), str(after / "desired")
    rendered = [_best(home, "reconcile", "render", side) for side in (old, new)]
    return [
        PullRequestRow("reconcile render, both sides", _sum(*rendered)),
        PullRequestRow("both sides, printing nothing", _best(home, "bench.sides", old, new)),
        PullRequestRow(
            "reconcile diff --against HEAD~1",
            _best(home, "reconcile", "diff", new, "--against", "HEAD~1", code=1),
        ),
    ]


def find_targets(rows: list[PullRequestRow]) -> list[Target]:
    """Return the target, with the ratio of this run."""
    rendered, _, ours = (row.cost.wall for row in rows)
    return [Target("render both / diff --against", rendered / ours, 10, at_least=True)]


def _best(home: Path, module: str, *arguments: str, code: int = 0) -> Cost:
    """Run a module as a new process several times; returns the cost of the fastest run."""
    say(" ".join([module, *arguments[:1]]))
    program = [sys.executable, "-m", module, *arguments]
    nowhere = {"KUBECONFIG": str(home / "none")}
    costs = [command(program, log=home / "log", codes=(code,), env=nowhere) for _ in range(_ROUNDS)]
    return min(costs, key=lambda cost: cost.wall)


def _sum(one: Cost, other: Cost) -> Cost:
    peak = max(one.peak_mib, other.peak_mib)
    return Cost(one.wall + other.wall, one.cpu + other.cpu, peak)


def _commit(folder: Path) -> None:
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "sessions")


def _git(folder: Path, *arguments: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env = {**inherited, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    subprocess.run(["git", *_IDENTITY, "-C", str(folder), *arguments], check=True, env=env)
