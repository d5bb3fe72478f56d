"""The keys of a snapshot's objects below a session's prefix, and the limits of format 1."""

import re
from typing import Final

FORMAT: Final = "reconcile-mirror/1"
HEAD: Final = "HEAD"
MANIFESTS: Final = "manifests/"
PACKS: Final = "packs/"
BLOBS: Final = "blobs/"
GC: Final = "gc/"

CHUNK: Final = 8 << 20
"""Size in bytes of each blob of a file that is not packed; the last blob has the rest."""

MAX_PACKED_FILE: Final = 4 << 20
"""A file larger than this, in bytes, is not packed."""

MAX_PACK: Final = 32 << 20
"""Maximum size of a pack in bytes; the mirror writes at most 16 MiB and some headers."""

MAX_MANIFEST: Final = 512 << 20
"""Maximum size of a manifest in bytes, compressed."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MANIFEST: Final = re.compile(r"manifests/([0-9]{12})-([0-9a-f]{64})\.jsonl\.gz", re.ASCII)
_PACK: Final = re.compile(r"packs/([0-9a-f]{64})\.tar", re.ASCII)
_BLOB: Final = re.compile(r"blobs/([0-9a-f]{64})", re.ASCII)


def is_digest(text: str) -> bool:
    """Whether the text is a SHA-256 in lower-case hexadecimal."""
    return _DIGEST.fullmatch(text) is not None


def manifest_key(generation: int, digest: str) -> str:
    """Return the key of a manifest; `digest` is the SHA-256 of the object's bytes."""
    return f"{MANIFESTS}{generation:012d}-{digest}.jsonl.gz"


def pack_key(digest: str) -> str:
    """Return the key of a pack."""
    return f"{PACKS}{digest}.tar"


def blob_key(digest: str) -> str:
    """Return the key of a blob that is stored as its own object."""
    return f"{BLOBS}{digest}"


def is_collectable_key(key: str) -> bool:
    """Whether the key is that of a manifest, pack or blob, which garbage collection may delete."""
    return any(pattern.fullmatch(key) for pattern in (_MANIFEST, _PACK, _BLOB))


def manifest_generation(key: str) -> int | None:
    """Return the generation that a manifest's key names, None for any other key."""
    match = _MANIFEST.fullmatch(key)
    return int(match[1]) if match else None
