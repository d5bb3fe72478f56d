"""Waiting until a condition becomes true."""

import time
from collections.abc import Callable

from tests.controlplane.errors import ControlPlaneError


def until(what: str, done: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
    """Call `done` until it returns True.

    Args:
        what: The awaited condition, for the error message.
        done: The check; its exceptions end the wait.
        timeout_s: The timeout; long, since a busy machine is not a failure.

    Raises:
        ControlPlaneError: The timeout expired.
    """
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise ControlPlaneError(f"timed out after {timeout_s:.0f} s waiting for {what}")
        time.sleep(0.05)
