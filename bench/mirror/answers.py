"""The requests of the S3 server in memory: its objects, and one function per kind of request."""

import hashlib
import time
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Self
from urllib.parse import parse_qsl, unquote

from bench.mirror import pages

HASHED = 1 << 20
"""Larger bodies get an ETag other than their MD5, so that hashing does not slow the server."""

OTHER = frozenset({"content-type", "content-encoding", "cache-control", "content-disposition"})
REASONS = {200: "OK", 204: "No Content", 206: "Partial Content", 304: "Not Modified"}


@dataclass(slots=True)
class HttpRequest:
    """One request; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: memoryview = field(default_factory=lambda: memoryview(b""))

    @classmethod
    def parse(cls, head: bytes) -> Self:
        """Parse the head, which comes before the body."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        path, _, query = target.partition("?")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return cls(method, path, query, headers)

    def unchunk(self) -> None:
        """Decode a body in the `aws-chunked` encoding."""
        if not self.headers.get("x-amz-content-sha256", "").startswith("STREAMING"):
            return
        data, at, pieces = self.body, 0, []
        while True:
            line = bytes(data[at : at + 200]).partition(b"\r\n")[0]
            size = int(line.partition(b";")[0], 16)
            at += len(line) + 2
            if not size:
                break
            pieces.append(data[at : at + size])
            at += size + 2
        self.body = memoryview(b"".join(pieces))


@dataclass(slots=True)
class HttpResponse:
    """Status, headers and a body in parts."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    parts: list[memoryview] = field(default_factory=list)
    length: int = -1
    """The Content-Length of a response to HEAD; -1 for the size of `parts`."""

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(map(len, self.parts))

    def head(self) -> bytes:
        """Return the head of the response."""
        length = self.size if self.length < 0 else self.length
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Error')}"]
        lines.extend(f"{name}: {value}" for name, value in self.headers.items())
        return "\r\n".join((*lines, f"Content-Length: {length}", "\r\n")).encode("latin-1")

    def pieces(self, size: int) -> list[memoryview]:
        """Return the body in pieces of at most `size` bytes."""
        return [part[at : at + size] for part in self.parts for at in range(0, len(part), size)]


@dataclass(frozen=True, slots=True)
class Object:
    """One object; that of a multipart upload has several parts."""

    parts: tuple[memoryview, ...]
    etag: str
    headers: Mapping[str, str]
    modified: float

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(map(len, self.parts))

    def cut(self, start: int, end: int) -> list[memoryview]:
        """Return the bytes from `start` to before `end`."""
        pieces, at = [], 0
        for part in self.parts:
            piece = part[max(start - at, 0) : max(end - at, 0)]
            at += len(part)
            if piece:
                pieces.append(piece)
        return pieces


class Objects:
    """The objects of all buckets by `bucket/key`, and incomplete uploads."""

    def __init__(self) -> None:
        self.by_name: dict[str, Object] = {}
        self.names: list[str] = []
        self.uploads: dict[str, tuple[dict[str, str], dict[int, tuple[memoryview, str]]]] = {}
        self._count = 0

    def number(self) -> int:
        """Return an unused number."""
        self._count += 1
        return self._count

    def put(self, name: str, new: Object) -> None:
        """Store an object."""
        if name not in self.by_name:
            insort(self.names, name)
        self.by_name[name] = new

    def delete(self, name: str) -> None:
        """Delete an object, if it exists."""
        if self.by_name.pop(name, None) is not None:
            del self.names[bisect_left(self.names, name)]


def answer(objects: Objects, request: HttpRequest) -> HttpResponse:
    """Handle any request."""
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    name = unquote(request.path[1:], errors="surrogateescape")
    bucket, _, key = name.partition("/")
    if not key:
        return pages.bucket(objects, request, bucket, query)
    match request.method:
        case "PUT":
            return _any_put(objects, request, name, query)
        case "GET" | "HEAD":
            return _get(objects, request, name)
        case "DELETE":
            objects.delete(name)
            return HttpResponse(204)
        case "POST" if "uploads" in query:
            return _begin_upload(objects, request, name)
        case _:
            return _end_upload(objects, name, query["uploadId"])


def _any_put(
    objects: Objects, request: HttpRequest, name: str, query: Mapping[str, str]
) -> HttpResponse:
    if "partNumber" in query:
        return _put_part(objects, request, query)
    if "x-amz-copy-source" in request.headers:
        return _copy(objects, request, name)
    return _put(objects, request, name)


def _put(objects: Objects, request: HttpRequest, name: str) -> HttpResponse:
    existing = objects.by_name.get(name)
    if_match, if_none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if (if_none_match == "*" and existing) or (
        if_match and (existing is None or existing.etag != if_match.strip('"'))
    ):
        return pages.error(412, "PreconditionFailed")
    etag = _etag(objects, request.body)
    objects.put(name, Object((request.body,), etag, _stored_headers(request.headers), time.time()))
    return HttpResponse(200, {"ETag": f'"{etag}"'})


def _get(objects: Objects, request: HttpRequest, name: str) -> HttpResponse:
    existing = objects.by_name.get(name)
    if existing is None:
        return pages.error(404, "NoSuchKey")
    headers = {
        "ETag": f'"{existing.etag}"',
        "Last-Modified": formatdate(existing.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        **existing.headers,
    }
    size = existing.size
    if "range" not in request.headers:
        parts = list(existing.parts) if request.method == "GET" else []
        return HttpResponse(200, headers, parts, size)
    first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
    start = int(first) if first else size - int(last)
    end = min(int(last) + 1 if last and first else size, size)
    if start >= size:
        return pages.error(416, "InvalidRange")
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return HttpResponse(206, headers, existing.cut(start, end))


def _copy(objects: Objects, request: HttpRequest, name: str) -> HttpResponse:
    source = objects.by_name.get(unquote(request.headers["x-amz-copy-source"]).lstrip("/"))
    if source is None:
        return pages.error(404, "NoSuchKey")
    replaced = request.headers.get("x-amz-metadata-directive") == "REPLACE"
    headers = _stored_headers(request.headers) if replaced else source.headers
    objects.put(name, Object(source.parts, source.etag, headers, time.time()))
    return pages.copied(source.etag)


def _begin_upload(objects: Objects, request: HttpRequest, name: str) -> HttpResponse:
    number = f"upload-{objects.number()}"
    objects.uploads[number] = (_stored_headers(request.headers), {})
    return pages.upload(name, number)


def _put_part(objects: Objects, request: HttpRequest, query: Mapping[str, str]) -> HttpResponse:
    etag = _etag(objects, request.body, request.headers.get("content-md5", ""))
    objects.uploads[query["uploadId"]][1][int(query["partNumber"])] = (request.body, etag)
    return HttpResponse(200, {"ETag": f'"{etag}"'})


def _end_upload(objects: Objects, name: str, number: str) -> HttpResponse:
    headers, parts = objects.uploads.pop(number)
    ordered = [parts[place] for place in sorted(parts)]
    etag = f"{_of_all(etag for _, etag in ordered)}-{len(ordered)}"
    objects.put(name, Object(tuple(body for body, _ in ordered), etag, headers, time.time()))
    return pages.completed(name, etag)


def _etag(objects: Objects, body: memoryview, content_md5: str = "") -> str:
    if content_md5:
        return pages.hexadecimal(content_md5)
    if len(body) <= HASHED:
        return hashlib.md5(body, usedforsecurity=False).hexdigest()
    return f"{objects.number():032x}-1"


def _of_all(etags: Iterable[str]) -> str:
    joined = b"".join(bytes.fromhex(etag.partition("-")[0]) for etag in etags)
    return hashlib.md5(joined, usedforsecurity=False).hexdigest()


def _stored_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if (name.startswith("x-amz-meta-") or name in OTHER) and value != "aws-chunked"
    }
