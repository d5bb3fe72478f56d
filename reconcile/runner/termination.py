"""The termination message of a container: one line of JSON that the reconciler reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

MAX_BYTES: Final = 2000
"""The kubelet shares 12 KiB among all containers of a pod."""
_TRUNCATED: Final = {"truncated": True}


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
