"""The log: one line of JSON for each event, on standard error."""

import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

import orjson

# A signal may come while the main thread itself is writing.
_WRITE_LOCK = threading.RLock()


class Logger(Protocol):
    """Takes events; values never hold credentials, since nobody who has them logs."""

    def info(self, event: str, **fields: Any) -> None:
        """Say what went as it should."""
        ...

    def warning(self, event: str, **fields: Any) -> None:
        """Say what somebody should know."""
        ...


class JsonLogger:
    """Writes lines with time, level, event and the event's own fields.

    `now` gives nanoseconds since 1970.
    """

    def __init__(self, now: Callable[[], int], stream: TextIO | None = None) -> None:
        self._now = now
        self._stream = stream

    def info(self, event: str, **fields: Any) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._write("warning", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        line = _encode_json(
            {"time": _format_timestamp(self._now()), "level": level, "event": event, **fields}
        )
        stream = self._stream or sys.stderr
        try:
            with _WRITE_LOCK:
                _write_unbuffered(stream, f"{line}\n")
        except (OSError, ValueError):
            # Nobody reads the log any more: no reason to stop saving work.
            return


def _format_timestamp(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.isoformat().removesuffix('+00:00')}.{rest:09d}Z"


def _write_unbuffered(stream: TextIO, text: str) -> None:
    """Write past the stream's buffer, which no signal handler may enter twice."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        stream.write(text)
        stream.flush()
        return
    left = memoryview(text.encode())
    while left:
        left = left[os.write(descriptor, left) :]


def _encode_json(value: dict[str, Any]) -> str:
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:
        # Names that are no UTF-8 come as surrogates, which JSON has not.
        safe = {name: _escape_surrogates(field) for name, field in value.items()}
        return orjson.dumps(safe, default=str).decode()


def _escape_surrogates(value: Any) -> Any:
    if isinstance(value, int | float | None):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()
