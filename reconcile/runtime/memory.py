"""How the process gives memory back."""

import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE = 1 << 20


def give_back_large() -> None:
    """Let buffers of a MiB and more go back to the system as soon as they are free.

    glibc else keeps some megabytes for each thread that ever had such buffers. Other C libraries
    have no such setting and need none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
