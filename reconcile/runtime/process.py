"""What a process does when it is asked to end.

How the process gives memory back.
"""

import ctypes
import signal
from types import FrameType


class TerminatedError(BaseException):
    """SIGTERM came; like KeyboardInterrupt it is no error that anybody should handle."""


def exit_on_sigterm() -> None:
    """Let SIGTERM end the program in order.

    As a container's first process it would otherwise ignore the signal and be killed later.
    """
    signal.signal(signal.SIGTERM, _raise_terminated)


def _raise_terminated(_number: int, _frame: FrameType | None) -> None:
    raise TerminatedError


_M_MMAP_THRESHOLD = -3
_LARGE_BUFFER_SIZE = 1 << 20


def release_large_buffers() -> None:
    """Let buffers of a MiB and more go back to the system as soon as they are free.

    glibc else keeps some megabytes for each thread that ever had such buffers. Other C libraries
    have no such setting and need none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BUFFER_SIZE)
