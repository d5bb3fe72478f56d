"""The XML of S3's answers and requests for many keys, as values.

The XML in which S3 and STS answer, as texts.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from msgspec import Struct
from urllib3.response import BaseHTTPResponse

from reconcile.mirror.errors import StoreAwayError
from reconcile.mirror.store.port import Listed


def parsed(body: bytes, *names: str) -> ET.Element:
    """Return the root of an answer.

    Raises:
        ValueError: It is no XML, or its root has none of these names, if any are given.
    """
    try:
        root = ET.fromstring(body)  # noqa: S314 - expat refuses bombs
    except (SyntaxError, LookupError) as error:
        raise ValueError(str(error)) from error
    name = _local(root)
    if names and name not in names:
        raise ValueError(f"it is a <{name}>, not a <{names[0]}>")
    return root


def children(element: ET.Element, name: str) -> Iterator[ET.Element]:
    """Yield the children of this name, in whatever namespace a server puts them."""
    for child in element:
        if _local(child) == name:
            yield child


def text_of(element: ET.Element, *path: str) -> str:
    """Return the text of the first such child, or of its child; empty where there is none."""
    for name in path:
        found = next(children(element, name), None)
        if found is None:
            return ""
        element = found
    return element.text or ""


def complaint(body: bytes) -> tuple[str, str]:
    """Return the code and the message of an error; empty where the answer is somebody else's."""
    try:
        root = parsed(body)
    except ValueError:
        return "", ""
    error = next(children(root, "Error"), root)
    return text_of(error, "Code"), text_of(error, "Message")


def time_of(text: str) -> float:
    """Return seconds since 1970; ValueError for what is no time of ISO 8601."""
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


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
