"""The log: one line of JSON per event, on standard error."""

import os
import re
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

    `now` returns nanoseconds since 1970.
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
            # The reader of the log is gone, which must not stop the program.
            return


def _format_timestamp(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.isoformat().removesuffix('+00:00')}.{rest:09d}Z"


def _write_unbuffered(stream: TextIO, text: str) -> None:
    """Write without the stream's buffer, which a signal handler must not reenter."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        stream.write(text)
        stream.flush()
        return
    remaining = memoryview(text.encode())
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


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
