"""The XML of S3 and STS: error bodies, pages of a listing, and deletions of many objects.

minio finds the elements, and builds and parses deletions. The module checks the root itself: an
HTML page of another server must never be taken for an empty listing. `parse_list_objects` of minio
is not used, because it accepts every root and, if a truncated page has no token, continues after
its last key, which never ends on a server without ListObjectsV2. Its `Object.fromxml` takes 5
times as long and fails for times with nanoseconds.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final, Protocol, TypeAlias
from urllib.parse import unquote, unquote_plus
from xml.etree import ElementTree as ET

from minio.deleteobjects import DeleteError, DeleteObject, DeleteRequest, DeleteResult
from minio.xml import find, findall, findtext, marshal
from msgspec import Struct

from reconcile.mirror.errors import StoreAwayError
from reconcile.mirror.store.port import ListedObject

_MAX_MARKUP: Final = 200_000
"""A page has 1,000 keys with some tags each; every element and attribute costs memory."""


class ListPage(Struct, frozen=True):
    """A part of a listing; `token` requests the next page, and is empty on the last one."""

    objects: tuple[ListedObject, ...]
    token: str


def parse_xml(body: bytes, root_name: str = "") -> ET.Element:
    """Return the root element of a response.

    Raises:
        ValueError: The body is not XML, or its root has another name than `root_name`, if given.
    """
    if body.count(b"<") + body.count(b"=") > _MAX_MARKUP:
        raise ValueError(f"it has more than {_MAX_MARKUP} elements and attributes")
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


def parse_list_page(response: HttpBody, prefix: str) -> ListPage:
    """Read a response to ListObjectsV2; its keys include the prefix of the store.

    Raises:
        StoreAwayError: The body is not such a response, lists other keys than those with the
            prefix, or does not say where the next page begins.
    """
    try:
        root, decode, decode_token = _parse_listing(response.data)
        findtext(root, "Name", strict=True)
        contents = findall(root, "Contents")
        objects = tuple(_parse_listed_object(each, decode, prefix) for each in contents)
    except (ValueError, OverflowError) as error:
        raise StoreAwayError(f"the store's listing cannot be read: {error}") from error
    truncated = (findtext(root, "IsTruncated") or "").lower() == "true"
    token = decode_token(findtext(root, "NextContinuationToken") or "")
    if truncated and not token:
        raise StoreAwayError("the store's listing is truncated, but has no continuation token")
    return ListPage(objects, token if truncated else "")


_Decode: TypeAlias = Callable[[str], str]
_URL_ENCODED: Final = re.compile(rb"<EncodingType>\s*url\s*</EncodingType>", re.IGNORECASE)
_MAX_CONTROLS: Final = 100_000
"""Each that is encoded costs memory; a page has at most 1,000 keys."""
_CONTROL: Final = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|&#(?:x0*([0-9a-fA-F]{1,2})|0*([0-9]{1,2}));"
)


def _parse_listing(body: bytes) -> tuple[ET.Element, _Decode, _Decode]:
    """Return the listing, what decodes its keys, and what decodes its token.

    The keys are URL-encoded only if the response says so: some servers ignore that it was
    requested. Raw keys may have control characters, which XML cannot contain.
    """
    if _URL_ENCODED.search(body):
        return parse_xml(body, "ListBucketResult"), unquote_plus, str
    if not _CONTROL.search(body):
        return parse_xml(body, "ListBucketResult"), str, str
    if sum(1 for _ in islice(_CONTROL.finditer(body), _MAX_CONTROLS + 1)) > _MAX_CONTROLS:
        raise ValueError(f"it has more than {_MAX_CONTROLS} control characters")
    encoded = _CONTROL.sub(_encode_control, body.replace(b"%", b"%25"))
    return parse_xml(encoded, "ListBucketResult"), unquote, unquote


def _encode_control(match: re.Match[bytes]) -> bytes:
    hexadecimal, decimal = match.groups()
    if hexadecimal is not None:
        return b"%%%02X" % int(hexadecimal, 16)
    return b"%%%02X" % (ord(match[0]) if decimal is None else int(decimal))


def _parse_listed_object(element: ET.Element, decode: _Decode, prefix: str) -> ListedObject:
    text, time = findtext(element, "Key"), findtext(element, "LastModified")
    if not text:
        raise ValueError("an object has no key")
    key = decode(text)
    if not key.startswith(prefix):
        raise ValueError("it is that of another prefix")
    modified = parse_iso_time(time) if time else 0.0
    return ListedObject(key, int(findtext(element, "Size") or 0), modified)


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
