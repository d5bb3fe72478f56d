"""What a process does when it is asked to end."""

import signal
from types import FrameType


class TerminatedError(BaseException):
    """SIGTERM came; like KeyboardInterrupt it is no error that anybody should handle."""


def end_on_terminate() -> None:
    """Let SIGTERM end the program in order.

    As a container's first process it would otherwise ignore the signal and be killed later.
    """
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise TerminatedError
