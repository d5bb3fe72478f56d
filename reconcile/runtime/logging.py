"""The log: one line of JSON per event, on standard error."""

import os
import re
import select
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

import orjson

# Reentrant: a signal handler may write while the main thread is writing.
_WRITE_LOCK = threading.RLock()
# JSON escapes only those below a space.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)

_READER_TIMEOUT_MS = 1000
"""How long to wait for the reader of a pipe that is full."""


class Logger(Protocol):
    """Logs events; values must not contain credentials."""

    def info(self, event: str, **fields: Any) -> None:
        """Log a normal event."""
        ...

    def warning(self, event: str, **fields: Any) -> None:
        """Log an event that needs attention."""
        ...


class JsonLogger:
    """Writes lines with time, level, event and the fields of the event.

    A log that is not read must not stop the program: lines that its pipe does not take are
    dropped, and their number is logged later. `now` returns nanoseconds since 1970.
    """

    def __init__(self, now: Callable[[], int], stream: TextIO | None = None) -> None:
        self._now = now
        # The standard error of a process may be closed already when it starts.
        self._stream: TextIO | None = stream or sys.stderr

    def info(self, event: str, **fields: Any) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._write("warning", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        stream = self._stream
        if stream is None:
            return
        with _WRITE_LOCK:
            if _OUTPUT.dropped and _OUTPUT.write(
                stream, self._encode("warning", "log lines dropped", {"lines": _OUTPUT.dropped})
            ):
                _OUTPUT.dropped = 0
            _OUTPUT.dropped += not _OUTPUT.write(stream, self._encode(level, event, fields))

    def _encode(self, level: str, event: str, fields: dict[str, Any]) -> str:
        time = _format_timestamp(self._now())
        return _encode_json({"time": time, "level": level, "event": event, **fields}) + "\n"


def _format_timestamp(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.isoformat().removesuffix('+00:00')}.{rest:09d}Z"


class _Output:
    """Writes lines without a stream's buffer, which a signal handler must not reenter.

    All loggers of the process share it, since they share standard error.
    """

    def __init__(self) -> None:
        self.dropped = 0
        """How many lines were not written since the last that was."""
        self._is_blocked = False
        self._is_in_line = False

    def write(self, stream: TextIO, line: str) -> bool:
        """Write a line; returns whether all of it was written."""
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError):
            return _write_buffered(stream, line)
        data = f"\n{line}" if self._is_in_line else line
        try:
            return self._write_to_descriptor(descriptor, memoryview(data.encode()))
        except OSError:
            return False  # The reader of the log is gone.

    def _write_to_descriptor(self, descriptor: int, remaining: memoryview) -> bool:
        while remaining:
            if not self._is_writable(descriptor):
                return False
            # A pipe that is writable takes so much without blocking.
            size = os.write(descriptor, remaining[: select.PIPE_BUF])
            remaining = remaining[size:]
            self._is_in_line = bool(remaining)
        return True

    def _is_writable(self, descriptor: int) -> bool:
        """Wait until the descriptor is writable; only once while its reader does not read."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        ready = poll.poll(0 if self._is_blocked else _READER_TIMEOUT_MS)
        self._is_blocked = not ready
        return bool(ready)


_OUTPUT = _Output()


def _write_buffered(stream: TextIO, text: str) -> bool:
    """Write to a stream that is not a file of the system."""
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def escape_controls(text: str) -> str:
    r"""Replace characters that control a terminal or the direction of text by `\u` escapes."""
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _encode_json(value: dict[str, Any]) -> str:
    try:
        return escape_controls(orjson.dumps(value, default=str).decode())
    except TypeError:
        # File names that are not UTF-8 contain surrogates, which JSON does not allow.
        safe = {name: _escape_surrogates(field) for name, field in value.items()}
        return escape_controls(orjson.dumps(safe, default=str).decode())


def _escape_surrogates(value: Any) -> Any:
    if isinstance(value, int | float | None):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()
