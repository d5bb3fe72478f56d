"""Objects of a snapshot as an attacker writes them, within the format and beyond it."""

import gzip
import hashlib
import zlib
from collections.abc import Iterable
from typing import Any

import orjson

from reconcile.mirror.store.s3 import S3Store
from tests.s3 import buckets
from tests.s3.access import S3Server
from tests.security.mirror_commands import PREFIX

FORMAT = "reconcile-mirror/1"
TIME = "1769860800.123456789"
STAMP = "2026-01-31T12:00:30.123456789Z"
WRITER = {"uid": "uid-attacker", "epoch": 1, "name": "attacker"}
NEIGHBOUR = "team-b/neighbour/HEAD"
"""An object of another session in the same bucket."""


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file(path: str, blob: str = "", size: int = 0, **fields: Any) -> dict[str, Any]:
    blobs = [blob] if blob else []
    entry = {"kind": "file", "path": path, "size": size, "mode": "0644", "mtime": TIME}
    return {**entry, "blobs": blobs, **fields}


def directory(path: str, mode: str = "0755") -> dict[str, Any]:
    return {"kind": "directory", "path": path, "mode": mode, "mtime": TIME}


def symlink(path: str, target: str) -> dict[str, Any]:
    return {"kind": "symlink", "path": path, "target": target, "mtime": TIME}


def hardlink(path: str, target: str) -> dict[str, Any]:
    return {"kind": "hardlink", "path": path, "target": target}


def compressed_run(piece: bytes, count: int) -> bytes:
    """Return gzip data that unpacks to `piece` so many times, made without unpacked copies."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return header + first + again * (count - 1)


class ForgedBucket:
    """A bucket with one object of another session; `put` writes below the victim's prefix."""

    def __init__(self, server: S3Server) -> None:
        self.name = buckets.fresh(server)
        self.store = S3Store(server.location(self.name, f"{PREFIX}/"), server.credentials)
        self.whole = S3Store(server.location(self.name), server.credentials)
        self.whole.put(NEIGHBOUR, [b"theirs"], sha(b"theirs"))

    def put(self, key: str, body: bytes) -> None:
        self.store.put(key, [body], sha(body))

    def blob(self, body: bytes) -> str:
        self.put(f"blobs/{sha(body)}", body)
        return sha(body)

    def pack(self, body: bytes) -> dict[str, Any]:
        """Store a pack; returns its line in a manifest."""
        self.put(f"packs/{sha(body)}.tar", body)
        return {"kind": "pack", "number": 1, "sha256": sha(body), "size": len(body)}

    def generation(self, *lines: dict[str, Any], **head: Any) -> None:
        """Store a manifest with these lines, and a HEAD that names it."""
        self.manifest(gzip.compress(b"".join(map(line, [self.header(), *lines]))), **head)

    @staticmethod
    def header(number: int = 1, **fields: Any) -> dict[str, Any]:
        header = {"format": FORMAT, "kind": "base", "generation": number, "time": STAMP}
        return {**header, "partial": None, "writer": WRITER, "parent": None, "chain": [], **fields}

    def manifest(self, body: bytes, number: int = 1, **head: Any) -> None:
        """Store the bytes of a manifest, and a HEAD that names it."""
        key = f"manifests/{number:012}-{sha(body)}.jsonl.gz"
        self.put(key, body)
        link = {"generation": number, "key": key, "sha256": sha(body), "size": len(body)}
        self.head(**{"generation": number, "chain": [link], **head})

    def head(self, **fields: Any) -> None:
        named = {"format": FORMAT, "generation": 0, "time": STAMP, "partial": None, "chain": []}
        self.put("HEAD", line({**named, "writer": WRITER, **fields}))

    def objects(self) -> dict[str, int]:
        """Return all keys of the bucket, and their sizes."""
        return {listed.key: listed.size for listed in self.whole.list("")}


def line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"


def lines(values: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(map(line, values))
