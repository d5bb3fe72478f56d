"""moto as a server in this process: starts in a second, checks no keys."""

import contextlib
import logging
from collections.abc import Iterator

from moto.server import ThreadedMotoServer

from reconcile.mirror.store.config import AccessKeys
from tests.controlplane import ports
from tests.s3.access import S3Server


@contextlib.contextmanager
def running() -> Iterator[S3Server]:
    """Run a server for the duration of the block."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    [port] = ports.free(1)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        yield S3Server(f"http://127.0.0.1:{port}", AccessKeys("test", "test"), checks_keys=False)
    finally:
        server.stop()
