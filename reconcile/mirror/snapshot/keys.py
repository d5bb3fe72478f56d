"""Where a snapshot's objects lie below a session's prefix, and the limits of format 1."""

import re
from typing import Final

FORMAT: Final = "reconcile-mirror/1"
HEAD: Final = "HEAD"
MANIFESTS: Final = "manifests/"
PACKS: Final = "packs/"
BLOBS: Final = "blobs/"
GC: Final = "gc/"

CHUNK: Final = 8 << 20
"""Bytes of each blob of a file that is not packed; the last one has the rest."""

MAX_PACKED_FILE: Final = 4 << 20
"""A file with more bytes than this is not packed."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MANIFEST: Final = re.compile(r"manifests/([0-9]{12})-([0-9a-f]{64})\.jsonl\.gz", re.ASCII)
_PACK: Final = re.compile(r"packs/([0-9a-f]{64})\.tar", re.ASCII)
_BLOB: Final = re.compile(r"blobs/([0-9a-f]{64})", re.ASCII)


def is_digest(text: str) -> bool:
    """Tell whether this is a SHA-256 in lower-case hexadecimal."""
    return _DIGEST.fullmatch(text) is not None


def manifest_key(generation: int, digest: str) -> str:
    """Return the key of a manifest; `digest` is that of the object's bytes."""
    return f"{MANIFESTS}{generation:012d}-{digest}.jsonl.gz"


def pack_key(digest: str) -> str:
    """Return the key of a pack."""
    return f"{PACKS}{digest}.tar"


def blob_key(digest: str) -> str:
    """Return the key of a blob that is an object of its own."""
    return f"{BLOBS}{digest}"


def is_collectable_key(key: str) -> bool:
    """Tell whether format 1 has objects with this key that garbage collection may judge."""
    return any(form.fullmatch(key) for form in (_MANIFEST, _PACK, _BLOB))


def manifest_generation(key: str) -> int | None:
    """Return the generation that a manifest's key names, None for any other key."""
    found = _MANIFEST.fullmatch(key)
    return int(found[1]) if found else None
