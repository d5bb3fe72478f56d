"""The second process: performs tasks until the first one ends, and never does anything else."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

from msgspec import msgpack

from reconcile.mirror.messages import TASKS, Answer, Failed, Line
from reconcile.mirror.restore.tasks import Do, Piece, Task


def serve(lines: Sequence[Line], make: Callable[[], Do]) -> NoReturn:
    """Be the second process. It must never return to what the first one was doing."""
    try:
        # Ctrl-C in a terminal is for all; the first process decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        control, *others = lines
        control.receive()
        do = _made(make)
        for line in others:
            threading.Thread(target=_answer_all, args=(line, do), daemon=True).start()
        control.receive()
    finally:
        os._exit(0)


def _made(make: Callable[[], Do]) -> Do:
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - raised with the first task
        failed = error

        def fail(_task: Task) -> Piece:
            raise failed

        return fail


def _answer_all(line: Line, do: Do) -> None:
    """Perform what comes; nothing else comes when the first process is gone."""
    try:
        while True:
            task = TASKS.decode(line.receive())
            line.send(msgpack.encode(_answer(task, do)))
    finally:
        os._exit(0)


def _answer(task: Task, do: Do) -> Answer:
    try:
        return do(task)
    except Exception as error:  # noqa: BLE001 - raised again in the first process
        message = str(error).encode(errors="backslashreplace").decode()
        return Failed(type(error).__name__, message)
