"""The process itself: ending on SIGTERM, its memory, and secrets in its environment."""

import ctypes
import os
import signal
from collections.abc import Iterable
from types import FrameType
from typing import Final


class TerminatedError(BaseException):
    """SIGTERM was received; like KeyboardInterrupt, it is not an error to handle."""


def exit_on_sigterm() -> None:
    """Raise TerminatedError on SIGTERM.

    The first process of a container would otherwise ignore the signal, and be killed later.
    """
    signal.signal(signal.SIGTERM, _raise_terminated)


def _raise_terminated(_number: int, _frame: FrameType | None) -> None:
    raise TerminatedError


_M_MMAP_THRESHOLD = -3
_LARGE_BUFFER_SIZE = 1 << 20


def release_large_buffers() -> None:
    """Return buffers of a MiB and more to the system as soon as they are freed.

    Otherwise glibc keeps some megabytes for each thread that had such buffers. Other C libraries do
    not have this setting and do not need it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BUFFER_SIZE)


_PR_SET_DUMPABLE: Final = 4


def erase_environment(names: Iterable[str]) -> None:
    """Erase variables, so that programs started by this one do not find them in `/proc`.

    `/proc/PID/environ` shows the memory that the process started with: removing a variable is not
    enough. On Linux, other processes of the same user then cannot read the memory either.
    """
    library = ctypes.CDLL(None)
    library.getenv.restype = ctypes.c_void_p
    for name in names:
        address = library.getenv(name.encode())
        if address:
            ctypes.memset(address, 0, len(ctypes.string_at(address)))
        os.environ.pop(name, None)
    prctl = getattr(library, "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
