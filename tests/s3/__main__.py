"""`python -m tests.s3 build|run|front`: an S3 server, or a proxy for one."""

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from reconcile.mirror.store.config import AccessKeys
from tests.s3 import ceph, cephrecipe, front, motoserver
from tests.s3.access import S3Server
from tests.s3.errors import S3ServerError


def main() -> int:
    """Build, or run until SIGINT or SIGTERM; return the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.command == "build":
            sys.stdout.write(f"{cephrecipe.programs()}\n")
        elif options.command == "front":
            _front(options)
        else:
            _run(options)
    except S3ServerError as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.s3", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="download Ceph into the cache and print its folder")
    run = commands.add_parser("run", help="run a server until Ctrl-C")
    run.add_argument(
        "--moto", action="store_true", help="run moto, which checks no keys, instead of Ceph"
    )
    run.add_argument("--state", type=Path, help="folder for its files (default: temporary)")
    before = commands.add_parser("front", help="run a proxy for a server until Ctrl-C")
    before.add_argument("--to", required=True, help="the server's URL")
    before.add_argument("--port", type=int, default=0, help="the port to listen on (default: any)")
    before.add_argument(
        "--latency", type=float, default=0.0, help="delay of each request in seconds"
    )
    return parser.parse_args()


def _run(options: argparse.Namespace) -> None:
    with _server(options) as server, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(
            f"export S3_ENDPOINT={server.url}\n"
            f"export S3_ACCESS_KEY={server.keys.access_key}\n"
            f"export S3_SECRET_KEY={server.keys.secret_key}\n"
        )
        sys.stdout.flush()
        signal.pause()


@contextlib.contextmanager
def _server(options: argparse.Namespace) -> Iterator[S3Server]:
    if options.moto:
        with motoserver.running() as server:
            yield server
        return
    with contextlib.ExitStack() as stack:
        state = options.state or stack.enter_context(tempfile.TemporaryDirectory(prefix="s3-"))
        yield stack.enter_context(ceph.running(Path(state) / "ceph"))


def _front(options: argparse.Namespace) -> None:
    """Print the URL of the proxy when it is ready, and its counts as JSON when it ends."""
    server = S3Server(options.to, AccessKeys("", ""), checks_keys=False)
    with (
        front.running(server, port=options.port) as running,
        contextlib.suppress(KeyboardInterrupt),
    ):
        running.latency = options.latency
        sys.stdout.write(f"{running.server.url}\n")
        sys.stdout.flush()
        signal.pause()
    counted = {
        "requests": len(running.received),
        "sent": running.sent_bytes,
        "got": running.got_bytes,
    }
    sys.stdout.write(f"{json.dumps(counted)}\n")


if __name__ == "__main__":
    sys.exit(main())
