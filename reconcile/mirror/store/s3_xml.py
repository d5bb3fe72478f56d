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
from reconcile.mirror.store.port import ListedObject


def parse_xml(body: bytes, *names: str) -> ET.Element:
    """Return the root of an answer.

    Raises:
        ValueError: It is no XML, or its root has none of these names, if any are given.
    """
    try:
        root = ET.fromstring(body)  # noqa: S314 - expat refuses bombs
    except (SyntaxError, LookupError) as error:
        raise ValueError(str(error)) from error
    name = _local_name(root)
    if names and name not in names:
        raise ValueError(f"it is a <{name}>, not a <{names[0]}>")
    return root


def iter_children(element: ET.Element, name: str) -> Iterator[ET.Element]:
    """Yield the children of this name, in whatever namespace a server puts them."""
    for child in element:
        if _local_name(child) == name:
            yield child


def get_child_text(element: ET.Element, *path: str) -> str:
    """Return the text of the first such child, or of its child; empty where there is none."""
    for name in path:
        found = next(iter_children(element, name), None)
        if found is None:
            return ""
        element = found
    return element.text or ""


def parse_error_body(body: bytes) -> tuple[str, str]:
    """Return the code and the message of an error; empty where the answer is somebody else's."""
    try:
        root = parse_xml(body)
    except ValueError:
        return "", ""
    error = next(iter_children(root, "Error"), root)
    return get_child_text(error, "Code"), get_child_text(error, "Message")


def parse_iso_time(text: str) -> float:
    """Return seconds since 1970; ValueError for what is no time of ISO 8601."""
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _local_name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


class ListPage(Struct, frozen=True):
    """A part of a listing; `token` asks for the next, empty after the last."""

    objects: tuple[ListedObject, ...]
    token: str


class DeleteError(Struct, frozen=True):
    """An object that could not be deleted, and why."""

    key: str
    code: str
    message: str


def parse_list_page(answer: BaseHTTPResponse) -> ListPage:
    """Read one answer to ListObjectsV2; its keys are from the bucket's root on."""
    try:
        root = parse_xml(answer.data, "ListBucketResult")
        listed = tuple(_parse_listed_object(one) for one in iter_children(root, "Contents"))
    except ValueError as error:
        raise StoreAwayError(f"the store's listing cannot be read: {error}") from error
    more = get_child_text(root, "IsTruncated").lower() == "true"
    token = get_child_text(root, "NextContinuationToken")
    if more and not token:
        raise StoreAwayError("the store's listing says that there is more, but not where")
    return ListPage(listed, token if more else "")


def _parse_listed_object(one: ET.Element) -> ListedObject:
    """Read one object; keys were asked for in the encoding of URLs, which all names survive."""
    key, time = get_child_text(one, "Key"), get_child_text(one, "LastModified")
    if not key:
        raise ValueError("an object has no key")
    modified = parse_iso_time(time) if time else 0.0
    return ListedObject(unquote_plus(key), int(get_child_text(one, "Size") or 0), modified)


def build_delete_body(keys: Sequence[str]) -> bytes:
    """Return the body of DeleteObjects; the answer then only names what failed."""
    root = ET.Element("Delete", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
    ET.SubElement(root, "Quiet").text = "true"
    for key in keys:
        ET.SubElement(ET.SubElement(root, "Object"), "Key").text = key
    return ET.tostring(root)


def parse_delete_errors(answer: BaseHTTPResponse) -> list[DeleteError]:
    """Read what DeleteObjects left."""
    try:
        errors = list(iter_children(parse_xml(answer.data, "DeleteResult"), "Error"))
    except ValueError as error:
        raise StoreAwayError(f"the store's answer cannot be read: {error}") from error
    return [
        DeleteError(
            get_child_text(one, "Key"), get_child_text(one, "Code"), get_child_text(one, "Message")
        )
        for one in errors
    ]


def content_md5(body: bytes) -> str:
    """Return a Content-MD5, without which servers refuse DeleteObjects."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
