"""Manifests for tests: the next one of a chain, and lines as JSON values to be changed."""

import gzip

import orjson
from msgspec.structs import replace

from reconcile.mirror.model import ManifestRef, SnapshotTree, Writer
from reconcile.mirror.snapshot.chain import new_base, new_delta_if_small
from reconcile.mirror.snapshot.head import ManifestHeader
from reconcile.mirror.snapshot.keys import manifest_key
from reconcile.mirror.snapshot.manifest import encode_base, encode_delta
from tests.mirror.snapshot.random_trees import sha

HEADER = ManifestHeader(1, 0, Writer("uid", 1, "pod"))
PARENT = ManifestRef(1, manifest_key(1, sha("m")), sha("m"), 100)
DELTA = replace(HEADER, generation=2, parent=PARENT, chain=(PARENT,))
BLOB = sha("blob")


def lines(data):
    return [orjson.loads(line) for line in gzip.decompress(data).splitlines()]


def text(*values):
    return b"".join(orjson.dumps(value) + b"\n" for value in values)


FIRST = lines(encode_base(HEADER, SnapshotTree()))[0]
FIRST_DELTA = lines(encode_delta(DELTA, SnapshotTree(), SnapshotTree()))[0]
FILE = {"kind": "file", "path": "f", "size": 0, "mode": "0644", "mtime": "0.000000000", "blobs": []}
DIRECTORY = {"kind": "directory", "path": "d", "mode": "0755", "mtime": "0.000000000"}
SYMLINK = {"kind": "symlink", "path": "s", "target": "t", "mtime": "0.000000000"}
PACK = {"kind": "pack", "number": 1, "sha256": sha("p"), "size": 4096}
PACKED = {**FILE, "size": 512, "blobs": [BLOB], "pack": 1, "at": 512}


def next_manifest(last, stamp, before, after):
    """Return a delta if one may follow, else a base."""
    return new_delta_if_small(last, stamp, before, after) or new_base(last, stamp, after)


def gone(path):
    return {"kind": "gone", "path": path}


def hardlink(path, target):
    return {"kind": "hardlink", "path": path, "target": target}
