"""`python -m tests.runner.faults.soak`: kills at many more points than in tests.

Prints its seed first and what was killed last; a failure prints the seed of its session, which
makes the same choices again. When a program is killed depends on the machine, too.
"""

import argparse
import secrets
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.runner.faults.kills import ROUND, run_round
from tests.s3 import ceph


def main() -> int:
    """Kill, and say how it went."""
    options = _options()
    seed: int = options.seed if options.seed is not None else secrets.randbelow(10**9)
    sys.stdout.write(f"{options.points} points with --seed {seed}\n")
    killed: Counter[tuple[str, str]] = Counter()
    generations = with_work = 0
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as name,
        ceph.running(Path(name) / "ceph") as s3,
    ):
        for first in range(0, options.points, ROUND):
            count = min(ROUND, options.points - first)
            try:
                done = run_round(s3, Path(name) / f"from-{first}", seed + first, count)
            except AssertionError:
                sys.stdout.write(f"failed; repeat: --points {count} --seed {seed + first}\n")
                raise
            killed += done.killed
            generations, with_work = generations + done.generations, with_work + done.with_work
            sys.stdout.write(f"{first + count} points, {generations} generations judged\n")
            sys.stdout.flush()
    for (victim, moment), times in sorted(killed.items()):
        sys.stdout.write(f"{times:6} {victim}: {moment}\n")
    sys.stdout.write(f"{with_work} of {generations} generations had work of a prompt\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.runner.faults.soak", description=__doc__)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seed", type=int, help="which points (default: any)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
