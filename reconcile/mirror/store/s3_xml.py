"""The XML of S3 and STS: error bodies, pages of a listing, and deletions of many objects.

minio finds the elements, and builds and parses deletions. The module checks the root itself: an
HTML page of another server must never be taken for an empty listing. `parse_list_objects` of minio
is not used, because it accepts every root and, if a truncated page has no token, continues after
its last key, which never ends on a server without ListObjectsV2. Its `Object.fromxml` takes 5
times as long and fails for times with nanoseconds.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from minio.deleteobjects import DeleteError, DeleteObject, DeleteRequest, DeleteResult
from minio.xml import find, findall, findtext, marshal
from msgspec import Struct

from reconcile.mirror.errors import StoreAwayError
from reconcile.mirror.store.port import ListedObject


class ListPage(Struct, frozen=True):
    """A part of a listing; `token` requests the next page, and is empty on the last one."""

    objects: tuple[ListedObject, ...]
    token: str


def parse_xml(body: bytes, root_name: str = "") -> ET.Element:
    """Return the root element of a response.

    Raises:
        ValueError: The body is not XML, or its root has another name than `root_name`, if given.
    """
    try:
        root = ET.fromstring(body)  # noqa: S314 - expat limits the expansion of entities
    except (SyntaxError, LookupError) as error:
        raise ValueError(str(error)) from error
    name = root.tag.rpartition("}")[2]
    if root_name and name != root_name:
        raise ValueError(f"it is a <{name}>, not a <{root_name}>")
    return root


def parse_error_body(body: bytes) -> tuple[str, str]:
    """Return the code and the message of an error of S3 or STS; empty if the body is not one."""
    try:
        root = parse_xml(body)
    except ValueError:
        return "", ""
    # STS puts its error into an <ErrorResponse>.
    nested = find(root, "Error")
    error = root if nested is None else nested
    return findtext(error, "Code") or "", findtext(error, "Message") or ""


def parse_iso_time(text: str) -> float:
    """Return the seconds since 1970 of a time in ISO 8601, UTC by default.

    Raises:
        ValueError: The text is not such a time.
    """
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


class HttpBody(Protocol):
    """A response whose body was read."""

    @property
    def data(self) -> bytes:
        """The body."""
        ...


def parse_list_page(response: HttpBody) -> ListPage:
    """Read a response to ListObjectsV2; its keys include the prefix of the store.

    Raises:
        StoreAwayError: The body is not such a response, or does not say where the next page begins.
    """
    try:
        root = parse_xml(response.data, "ListBucketResult")
        findtext(root, "Name", strict=True)
        objects = tuple(_parse_listed_object(each) for each in findall(root, "Contents"))
    except ValueError as error:
        raise StoreAwayError(f"the store's listing cannot be read: {error}") from error
    truncated = (findtext(root, "IsTruncated") or "").lower() == "true"
    token = findtext(root, "NextContinuationToken") or ""
    if truncated and not token:
        raise StoreAwayError("the store's listing is truncated, but has no continuation token")
    return ListPage(objects, token if truncated else "")


def _parse_listed_object(element: ET.Element) -> ListedObject:
    """Read one object; its key is URL-encoded, as requested, so that XML can contain every key."""
    key, time = findtext(element, "Key"), findtext(element, "LastModified")
    if not key:
        raise ValueError("an object has no key")
    modified = parse_iso_time(time) if time else 0.0
    return ListedObject(unquote_plus(key), int(findtext(element, "Size") or 0), modified)


def build_delete_body(keys: Sequence[str]) -> bytes:
    """Return the body of a DeleteObjects request whose response lists only what failed."""
    return marshal(DeleteRequest([DeleteObject(key) for key in keys], quiet=True))


def parse_delete_errors(response: HttpBody) -> list[DeleteError]:
    """Return the objects that DeleteObjects did not delete.

    Raises:
        StoreAwayError: The body is not a response to DeleteObjects.
    """
    try:
        return DeleteResult.fromxml(parse_xml(response.data, "DeleteResult")).error_list
    except ValueError as error:
        raise StoreAwayError(f"the store's response cannot be read: {error}") from error
