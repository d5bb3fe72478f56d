"""`python -m tests.controlplane build|run`: builds or runs a control plane."""

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.controlplane import build, server
from tests.controlplane.errors import ControlPlaneError


def main() -> int:
    """Build, or run until SIGINT or SIGTERM; return the exit code."""
    options = _options()
    try:
        if options.command == "build":
            sys.stdout.write(f"{build.assets()}\n")
        else:
            _run(options.state)
    except ControlPlaneError as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.controlplane", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="find or build the binaries and print their folder")
    run = commands.add_parser("run", help="run a control plane until Ctrl-C")
    run.add_argument("--state", type=Path, help="folder for its data and logs (default: temporary)")
    return parser.parse_args()


def _run(state: Path | None) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _folder(state) as folder, server.running(folder) as plane:
        sys.stdout.write(f"export KUBECONFIG={plane.kubeconfig('admin')}\n")
        sys.stdout.flush()
        sys.stderr.write(f"{plane.url}, kubectl in {plane.assets}; Ctrl-C stops it\n")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


@contextlib.contextmanager
def _folder(state: Path | None) -> Iterator[Path]:
    if state is not None:
        yield state.absolute()
    else:
        with tempfile.TemporaryDirectory(prefix="controlplane-") as folder:
            yield Path(folder)


if __name__ == "__main__":
    sys.exit(main())
