"""The start time of the program, compared with Python that only imports minio."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.measure import command
from bench.mirror.tools import OURS

TIMES = 7
ALLOWED = 300.0


def measure() -> bool:
    """Print the milliseconds of each, the fastest of several; returns whether the target is met."""
    bare = _fastest((sys.executable, "-c", "import minio"))
    starting = _fastest((str(OURS), "sync", "--help"))
    loaded = _fastest((sys.executable, "-c", _EVERYTHING))
    print("\nstart, ms, the fastest of several\n")
    print(f"{'bare Python with minio imported':<48}{bare:>8.0f}")
    print(f"{'reconcile-mirror sync --help':<48}{starting:>8.0f}")
    print(f"{'all that a sync with changes imports':<48}{loaded:>8.0f}")
    met = loaded - bare <= ALLOWED
    verdict = "met" if met else "MISSED"
    print(
        f"{'more than bare Python with minio':<48}{loaded - bare:>8.0f}   at most 300   {verdict}"
    )
    return met


_EVERYTHING = (
    "import reconcile.mirror.cli.main, reconcile.mirror.sidecar.sync, "
    "reconcile.mirror.sidecar.hydrate, reconcile.mirror.store.factory"
)


def _fastest(arguments: Sequence[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        return 1000 * min(command(arguments, log=log).wall for _ in range(TIMES))
