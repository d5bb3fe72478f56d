"""Free ports on 127.0.0.1."""

import contextlib
import random
import socket

# Below what Linux hands out to outgoing connections, so that none of those can take a port first.
RANGE = range(20000, 32000)


def free(count: int) -> list[int]:
    """Return ports on which nobody listens now; somebody may be faster than the caller."""
    found: list[int] = []
    for port in random.sample(RANGE, k=len(RANGE)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports in {RANGE}")
