"""Free ports on 127.0.0.1."""

import contextlib
import random
import socket

# Below the range for outgoing connections on Linux, so that none of those can take a port first.
RANGE = range(20000, 32000)


def free(count: int) -> list[int]:
    """Return ports that are free now; another process may still take one before the caller."""
    free_ports: list[int] = []
    for port in random.sample(RANGE, k=len(RANGE)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            free_ports.append(port)
        if len(free_ports) == count:
            return free_ports
    raise OSError(f"no {count} free ports in {RANGE}")
