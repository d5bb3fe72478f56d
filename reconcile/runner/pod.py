"""What belongs to one pod: its UID, how its session has ended, and the containers' last messages.

A sidecar that is started again in the same pod finds the end, and ends again. A termination message
is one line of JSON, which the reconciler reads.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from reconcile.runtime.files import read_limited

_END_FILE: Final = "end.json"
_RUN_FILE: Final = "has-run"
_LARGEST_FILE: Final = 64 << 10

MAX_BYTES: Final = 2000
"""Bytes of a termination message: the kubelet shares 12 KiB among all containers of a pod."""
_TRUNCATED: Final = {"truncated": True}


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


def has_run(state: Path, pod_uid: str) -> bool:
    """Whether the runner of this pod has accepted a run, of this process or one before it."""
    try:
        return read_limited(state / _RUN_FILE, _LARGEST_FILE) == pod_uid.encode()
    except OSError:
        return False


def record_run(state: Path, pod_uid: str) -> None:
    """Record that the runner of this pod has accepted a run."""
    with suppress(OSError):
        (state / _RUN_FILE).write_text(pod_uid)


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


def encode_message(fields: Mapping[str, Any]) -> bytes:
    """Encode a message of at most `MAX_BYTES`.

    Where it would be too long, the list that does not fit is cut, later fields are left out, and
    `truncated` says so: what matters most comes first.
    """
    kept: dict[str, Any] = {}
    for name, value in fields.items():
        if not _fits({**kept, name: value}):
            part = _cut(kept, name, value) if isinstance(value, list | tuple) else []
            return orjson.dumps({**kept, **({name: part} if part else {}), **_TRUNCATED})
        kept[name] = value
    return orjson.dumps(kept)


def _fits(fields: Mapping[str, Any]) -> bool:
    return len(orjson.dumps({**fields, **_TRUNCATED})) <= MAX_BYTES


def _cut(kept: Mapping[str, Any], name: str, items: list[Any] | tuple[Any, ...]) -> list[Any]:
    """Return as many of the first items as fit."""
    part: list[Any] = []
    for item in items:
        if not _fits({**kept, name: [*part, item]}):
            break
        part.append(item)
    return part


def write_message(path: Path, fields: Mapping[str, Any]) -> None:
    """Write the message; a path that cannot be written is not an error of the program's work."""
    try:
        path.write_bytes(encode_message(fields))
    except OSError:
        return
