"""The XML of S3's answers and requests for many keys, as values."""

import base64
import hashlib
from collections.abc import Sequence
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from msgspec import Struct
from urllib3.response import BaseHTTPResponse

from reconcile.mirror.errors import StoreAwayError
from reconcile.mirror.store.answers import children, parsed, text_of, time_of
from reconcile.mirror.store.port import Listed


class Page(Struct, frozen=True):
    """A part of a listing; `token` asks for the next, empty after the last."""

    objects: tuple[Listed, ...]
    token: str


class Kept(Struct, frozen=True):
    """An object that could not be deleted, and why."""

    key: str
    code: str
    message: str


def page(answer: BaseHTTPResponse) -> Page:
    """Read one answer to ListObjectsV2; its keys are from the bucket's root on."""
    try:
        root = parsed(answer.data, "ListBucketResult")
        listed = tuple(_listed(one) for one in children(root, "Contents"))
    except ValueError as error:
        raise StoreAwayError(f"the store's listing cannot be read: {error}") from error
    more = text_of(root, "IsTruncated").lower() == "true"
    token = text_of(root, "NextContinuationToken")
    if more and not token:
        raise StoreAwayError("the store's listing says that there is more, but not where")
    return Page(listed, token if more else "")


def _listed(one: ET.Element) -> Listed:
    """Read one object; keys were asked for in the encoding of URLs, which all names survive."""
    key, time = text_of(one, "Key"), text_of(one, "LastModified")
    if not key:
        raise ValueError("an object has no key")
    modified = time_of(time) if time else 0.0
    return Listed(unquote_plus(key), int(text_of(one, "Size") or 0), modified)


def deletion(keys: Sequence[str]) -> bytes:
    """Return the body of DeleteObjects; the answer then only names what failed."""
    root = ET.Element("Delete", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
    ET.SubElement(root, "Quiet").text = "true"
    for key in keys:
        ET.SubElement(ET.SubElement(root, "Object"), "Key").text = key
    return ET.tostring(root)


def kept(answer: BaseHTTPResponse) -> list[Kept]:
    """Read what DeleteObjects left."""
    try:
        errors = list(children(parsed(answer.data, "DeleteResult"), "Error"))
    except ValueError as error:
        raise StoreAwayError(f"the store's answer cannot be read: {error}") from error
    return [
        Kept(text_of(one, "Key"), text_of(one, "Code"), text_of(one, "Message")) for one in errors
    ]


def md5(body: bytes) -> str:
    """Return a Content-MD5, without which servers refuse DeleteObjects."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
