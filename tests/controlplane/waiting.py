"""Waiting for something that another process brings about."""

import time
from collections.abc import Callable

from tests.controlplane.errors import ControlPlaneError


def until(what: str, done: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
    """Ask `done` again and again until it says yes.

    Args:
        what: What is awaited, for the error message.
        done: The question; an exception of its own ends the waiting.
        timeout_s: When to give up; generous, since a busy machine is no failure.

    Raises:
        ControlPlaneError: The time is over.
    """
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise ControlPlaneError(f"waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(0.05)
