"""The XML of S3's answers and requests for many keys, as values."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from minio.datatypes import parse_list_objects
from minio.deleteobjects import DeleteObject, DeleteRequest, DeleteResult
from minio.xml import marshal, unmarshal
from urllib3.response import BaseHTTPResponse

from reconcile.mirror.errors import StoreAwayError
from reconcile.mirror.store.port import Listed


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing; `token` asks for the next, empty after the last."""

    objects: tuple[Listed, ...]
    token: str


@dataclass(frozen=True, slots=True)
class Kept:
    """An object that could not be deleted, and why."""

    key: str
    code: str
    message: str


def page(answer: BaseHTTPResponse) -> Page:
    """Read one answer to ListObjectsV2; its keys are from the bucket's root on."""
    try:
        objects, more, token, _ = parse_list_objects(answer)
    except (SyntaxError, ValueError) as error:
        raise StoreAwayError(f"the store's listing cannot be read: {error}") from error
    listed = tuple(
        Listed(
            each.object_name or "",
            each.size or 0,
            each.last_modified.timestamp() if each.last_modified else 0.0,
        )
        for each in objects
    )
    return Page(listed, (token or "") if more else "")


def deletion(keys: Sequence[str]) -> bytes:
    """Return the body of DeleteObjects; the answer then only names what failed."""
    return marshal(DeleteRequest([DeleteObject(key) for key in keys], quiet=True))


def kept(answer: BaseHTTPResponse) -> list[Kept]:
    """Read what DeleteObjects left."""
    try:
        result = unmarshal(DeleteResult, answer.data.decode())
    except (SyntaxError, ValueError) as error:
        raise StoreAwayError(f"the store's answer cannot be read: {error}") from error
    return [Kept(each.name or "", each.code, each.message or "") for each in result.error_list]


def md5(body: bytes) -> str:
    """Return a Content-MD5, without which servers refuse DeleteObjects."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
