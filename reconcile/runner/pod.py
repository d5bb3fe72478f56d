"""What belongs to one pod: its UID, and how its session has ended.

A sidecar that is started again in the same pod finds the end, and ends again.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from reconcile.runtime.files import read_limited

_END_FILE: Final = "end.json"
_START_FILE: Final = "started"
_LARGEST_FILE: Final = 64 << 10


class PodError(Exception):
    """The pod lacks something that its template should have."""


def read_pod_uid(pod_info: Path) -> str:
    """Read the UID from the downward API volume.

    Raises:
        PodError: It is not there.
    """
    path = pod_info / "uid"
    try:
        uid = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        uid = ""
    if not uid:
        raise PodError(f"{path} has no UID: mount metadata.uid there by the downward API")
    return uid


def record_start(state: Path, pod_uid: str) -> bool:
    """Record that a bridge of this pod has started; returns whether one had before."""
    path, data = state / _START_FILE, pod_uid.encode()
    with suppress(OSError):
        if read_limited(path, _LARGEST_FILE) == data:
            return True
    with suppress(OSError):
        path.write_bytes(data)
    return False


def read_end(state: Path, pod_uid: str) -> dict[str, Any] | None:
    """Return the last message of this pod, if its session has ended."""
    try:
        content = orjson.loads(read_limited(state / _END_FILE, _LARGEST_FILE))
    except (OSError, orjson.JSONDecodeError):
        return None
    is_ours = isinstance(content, dict) and content.get("podUid") == pod_uid
    message = content.get("message") if is_ours else None
    return message if isinstance(message, dict) else None


def write_end(state: Path, pod_uid: str, message: dict[str, Any]) -> None:
    """Remember the end; where that fails, the next start finds it out again."""
    temporary = state / f".{_END_FILE}.new"
    with suppress(OSError):
        temporary.write_bytes(orjson.dumps({"podUid": pod_uid, "message": message}))
        temporary.replace(state / _END_FILE)
