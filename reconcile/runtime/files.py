"""Reads files that are named by an option or a variable, and not chosen by the program."""

import errno
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 64 << 20
"""The maximum size of a kubeconfig, a token, a plan or an event: none comes near to it."""


def read_limited(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Read a file, which may be a pipe or a device without an end.

    Raises:
        OSError: The file cannot be read, or has more than `limit` bytes.
    """
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit >> 20} MiB", str(path))
    return content
