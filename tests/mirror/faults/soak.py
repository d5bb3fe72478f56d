"""`python -m tests.mirror.faults.soak`: kills at many more points than the tests do.

Prints its seed first and what was killed last; a failure names the point, and comes again with the
same seed.
"""

import argparse
import secrets
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.mirror.faults import faulty_session
from tests.mirror.faults.kills import Trial, schedule
from tests.s3 import ceph
from tests.s3.access import S3Server

ROUND = 50
"""Points for each session: then a new one begins, with a bucket of its own."""


def main() -> int:
    """Kill, and say how it went."""
    options = _options()
    seed: int = options.seed if options.seed is not None else secrets.randbelow(10**9)
    sys.stdout.write(f"{options.points} points with --seed {seed}\n")
    killed: Counter[tuple[str, str]] = Counter()
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as name,
        ceph.running(Path(name) / "ceph") as s3,
    ):
        for first in range(0, options.points, ROUND):
            count = min(ROUND, options.points - first)
            killed += _round(s3, Path(name) / f"from-{first}", seed + first, count)
            sys.stdout.write(f"{first + count} points, {killed.total()} killed\n")
            sys.stdout.flush()
    for (deed, request), times in sorted(killed.items()):
        sys.stdout.write(f"{times:6} {deed}: {request}\n")
    return 0


def _round(server: S3Server, folder: Path, seed: int, count: int) -> Counter[tuple[str, str]]:
    with faulty_session.session(server, folder) as session:
        trial = Trial(session, seed)
        for point in schedule(seed, count):
            trial.run(point)
    return trial.killed


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mirror.faults.soak", description=__doc__)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seed", type=int, help="which points (default: any)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
