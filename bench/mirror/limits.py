"""The limit for every tool: one pass over the bytes by tar, one PUT, one digest."""

import hashlib
import http.client
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from urllib.parse import SplitResult

from minio.credentials.credentials import Credentials
from minio.helpers import DictType
from minio.signer import sign_v4_s3
from minio.time import to_amz_date

from bench.measure import command, function
from bench.mirror.server import Measured, host

_PIECE = 256 << 10
"""Few enough bytes for the processor's cache."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One line of the table of limits."""

    tree: str
    text: str
    wall: float


def limits(name: str, make: Callable[[Path], None], server: Measured, home: Path) -> list[Limit]:
    """Measure the limits of one tree."""
    folder = home / "limits"
    tree, archive, back = folder / "tree", folder / "archive.tar", folder / "back"
    shutil.rmtree(folder, ignore_errors=True)
    tree.mkdir(parents=True)
    make(tree)
    pack = ("tar", "-C", str(tree), "-cf", str(archive), ".")
    command(pack, log=home / "log")
    # GNU tar reads no content if its output is /dev/null.
    read = ("sh", "-c", f"tar -C '{tree}' -cf - . | cat > /dev/null")
    reading = min(command(read, log=home / "log").wall for _ in range(3))
    writing = min(_unpacked(archive, back, home) for _ in range(3))
    size = archive.stat().st_size
    bucket = server.bucket()
    sending = function(lambda: _put(server, bucket, archive), times=2).wall
    hashing = function(lambda: _hash(size), times=2).wall
    shutil.rmtree(folder)
    return [
        Limit(name, "tar c, reading the tree", reading),
        Limit(name, "tar x, writing the tree", writing),
        Limit(name, f"one PUT of {size / 1e6:.0f} MB", sending),
        Limit(name, "SHA-256 of them, on one core", hashing),
    ]


def _unpacked(archive: Path, back: Path, home: Path) -> float:
    shutil.rmtree(back, ignore_errors=True)
    back.mkdir()
    return command(("tar", "-C", str(back), "-xpf", str(archive)), log=home / "log").wall


def _hash(size: int) -> None:
    piece, digest = bytes(_PIECE), hashlib.sha256()
    for _ in range(size // _PIECE):
        digest.update(piece)


def _signed_headers(server: Measured, path: str, size: int) -> dict[str, str]:
    keys, now, digest = server.access.keys, datetime.now(UTC), "UNSIGNED-PAYLOAD"
    headers: DictType = {
        "Host": host(server),
        "x-amz-content-sha256": digest,
        "x-amz-date": to_amz_date(now),
        "Content-Length": str(size),
    }
    signed = sign_v4_s3(
        method="PUT",
        url=SplitResult("http", host(server), path, "", ""),
        region="us-east-1",
        headers=headers,
        credentials=Credentials(keys.access_key, keys.secret_key),
        content_sha256=digest,
        date=now,
    )
    return cast(dict[str, str], signed)


def _put(server: Measured, bucket: str, archive: Path) -> None:
    path = f"/{bucket}/archive"
    headers = _signed_headers(server, path, archive.stat().st_size)
    connection = http.client.HTTPConnection(host(server), blocksize=1 << 20)
    with archive.open("rb") as body:
        connection.request("PUT", path, body, headers)
        answer = connection.getresponse()
        answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"the server refused one PUT of {archive.name}: {answer.status}")
