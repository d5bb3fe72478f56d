"""The process itself: ending on SIGTERM, and returning memory to the system."""

import ctypes
import signal
from types import FrameType


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
