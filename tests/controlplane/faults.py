"""A proxy for the API server that injects faults.

`faulty(plane, plan)` serves the same API at another address. The plan chooses the fault of each
request; requests without a fault pass unchanged, including long responses and watches.
"""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.controlplane import credentials
from tests.controlplane.access import ControlPlane
from tests.controlplane.front import FrontServer
from tests.controlplane.plans import Answer, Drop, Fault, Hang, Plan, Received, When, on_request

__all__ = [
    "Answer",
    "Drop",
    "Fault",
    "Front",
    "Hang",
    "Plan",
    "Received",
    "When",
    "faulty",
    "on_request",
]


@dataclass(frozen=True, slots=True)
class Front:
    """A running proxy.

    Attributes:
        url: Its address, with a certificate of the control plane's CA.
        plane: The control plane behind it.
        received: All requests so far, in order of arrival.
    """

    url: str
    plane: ControlPlane
    received: list[Received]

    def kubeconfig(self, user: str) -> Path:
        """Write a kubeconfig for this address with the token of one of `credentials.USERS`."""
        return self.redirect(self.plane.kubeconfig(user))

    def redirect(self, kubeconfig: Path) -> Path:
        """Write a copy of one of the control plane's kubeconfigs with the address of this proxy."""
        target = kubeconfig.with_name(f"{kubeconfig.name}-through-{urlsplit(self.url).port}")
        return credentials.redirect_kubeconfig(kubeconfig, target, self.url)


@contextlib.contextmanager
def faulty(plane: ControlPlane, plan: Plan) -> Iterator[Front]:
    """Run a proxy for the duration of the block; all threads and connections end with it.

    Raises:
        ExceptionGroup: The proxy itself failed, other than by a client that disconnected.
    """
    certificate = credentials.issue(plane.state, "127.0.0.1")
    with FrontServer(plane.url, plane.ca_file, certificate, plan) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Front(server.url, plane, server.received)
        finally:
            server.shutdown()
            thread.join()
            server.close_connections()
            server.server_close()
            if server.unexpected:
                raise ExceptionGroup("the proxy itself failed", server.unexpected)
