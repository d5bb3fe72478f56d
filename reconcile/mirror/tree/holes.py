"""Holes of sparse files: found without reading, known without hashing, made without writing."""

import errno
import hashlib
import os
from functools import cache

from reconcile.mirror.snapshot.keys import CHUNK


@cache
def hole() -> bytes:
    """Return a whole chunk of zeros, always the same object."""
    return bytes(CHUNK)


@cache
def hole_digest() -> str:
    """Return the digest of a whole chunk of zeros."""
    return hashlib.sha256(hole()).hexdigest()


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of some bytes, which may be `hole()` itself."""
    return hole_digest() if data is hole() else hashlib.sha256(data).hexdigest()


def zeros(size: int) -> bytes:
    """Return zeros, `hole()` itself where that fits."""
    return hole() if size == CHUNK else bytes(size)


def data_from(descriptor: int, offset: int) -> int | None:
    """Return where data begins at or after an offset; None where only a hole is left.

    Where the file system does not tell, everything is data. The file's position is as it was.
    """
    try:
        found = os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        return None if error.errno == errno.ENXIO else offset
    finally:
        os.lseek(descriptor, offset, os.SEEK_SET)
    return found
