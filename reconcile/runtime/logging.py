"""The log: one line of JSON for each event, on standard error."""

import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

import orjson

# A signal may come while the main thread itself is writing.
_LOCK = threading.RLock()


class Journal(Protocol):
    """Takes events; values never hold credentials, since nobody who has them logs."""

    def info(self, event: str, **fields: Any) -> None:
        """Say what went as it should."""
        ...

    def warn(self, event: str, **fields: Any) -> None:
        """Say what somebody should know."""
        ...


class JsonJournal:
    """Writes lines with time, level, event and the event's own fields.

    `now` gives nanoseconds since 1970.
    """

    def __init__(self, now: Callable[[], int], stream: TextIO | None = None) -> None:
        self._now = now
        self._stream = stream

    def info(self, event: str, **fields: Any) -> None:
        self._write("info", event, fields)

    def warn(self, event: str, **fields: Any) -> None:
        self._write("warning", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        line = _dumps({"time": _stamp(self._now()), "level": level, "event": event, **fields})
        stream = self._stream or sys.stderr
        try:
            with _LOCK:
                _put(stream, f"{line}\n")
        except (OSError, ValueError):
            # Nobody reads the log any more: no reason to stop saving work.
            return


def _stamp(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.isoformat().removesuffix('+00:00')}.{rest:09d}Z"


def _put(stream: TextIO, text: str) -> None:
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


def _dumps(value: dict[str, Any]) -> str:
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:
        # Names that are no UTF-8 come as surrogates, which JSON has not.
        safe = {name: _safe(field) for name, field in value.items()}
        return orjson.dumps(safe, default=str).decode()


def _safe(value: Any) -> Any:
    if isinstance(value, int | float | None):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()
