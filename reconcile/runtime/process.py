"""The process itself: its streams, ending on SIGTERM, its memory, secrets in its environment."""

import ctypes
import io
import os
import signal
import sys
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


def prepare_standard_streams() -> None:
    """Replace standard streams that the caller closed, and let no character stop a write.

    The next file that is opened would otherwise get the descriptor of a closed stream, and messages
    would be written into that file.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard_unwritable_output() -> None:
    """Drop output that cannot be written.

    The interpreter would otherwise try again when it ends, and change the exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def describe_os_error(error: OSError) -> str:
    """Return the reason, with the name of the file if it is known."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


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
