"""The termination message of a container: one line of JSON that the reconciler reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

MAX_BYTES: Final = 2000
"""The kubelet shares 12 KiB among all containers of a pod."""


def encode_message(fields: Mapping[str, Any]) -> bytes:
    """Encode a message; later fields are left out where it would be too long."""
    kept: dict[str, Any] = {}
    for name, value in fields.items():
        if len(orjson.dumps({**kept, name: value})) > MAX_BYTES - len(b',"truncated":true'):
            return orjson.dumps({**kept, "truncated": True})
        kept[name] = value
    return orjson.dumps(kept)


def write_message(path: Path, fields: Mapping[str, Any]) -> None:
    """Write the message; a path that cannot be written is not an error of the program's work."""
    try:
        path.write_bytes(encode_message(fields))
    except OSError:
        return
