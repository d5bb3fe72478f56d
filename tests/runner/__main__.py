"""Run the suite against the code of a checkout of the platform.

    python -m tests.runner --source DIR [--python PATH] [arguments of pytest]

The suite takes twenty minutes, since the waits of the real runner cannot be shortened. Tests
of whole pods are skipped without root, and with CI=true they fail.
"""

import argparse
import os
import sys
from pathlib import Path

import pytest

from tests.controlplane.errors import ControlPlaneError
from tests.runner import installing, targets

SUITE = targets.ROOT / "tests/runner/contract"


def main() -> int:
    """Install what the code needs, run the suite, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.runner",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--source",
        type=Path,
        required=True,
        help=f"a checkout of the platform, or its {installing.BELOW_THE_ROOT}",
    )
    parser.add_argument("--python", default="python3.12", help="Python 3.12 (default: %(default)s)")
    options, more = parser.parse_known_args()
    try:
        source = installing.find_source(options.source)
        python = installing.install(source, installing.find_python(options.python))
    except ControlPlaneError as failure:
        sys.stderr.write(f"{failure}\n")
        return 2
    os.environ["RUNNER_SOURCE"], os.environ["RUNNER_PYTHON"] = str(source), str(python)
    return int(pytest.main([str(SUITE), *more]))


if __name__ == "__main__":
    sys.exit(main())
