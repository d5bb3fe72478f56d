"""A Store on S3: each method sends one request (a listing one per page) and retries none."""

import contextlib
import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from time import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from minio.helpers import md5sum_hash
from msgspec.structs import replace

from reconcile.mirror.errors import (
    DamagedError,
    DeniedError,
    MissingObjectError,
    PreconditionError,
    StoreAwayError,
    StoreError,
    UnexpectedResponseError,
    UnsupportedRequestError,
)
from reconcile.mirror.store import s3_xml
from reconcile.mirror.store.config import CredentialsProvider, StoreLocation
from reconcile.mirror.store.port import (
    DEFAULT_LIMIT,
    BytesLike,
    ListedObject,
    ObjectAbsent,
    ObjectData,
    Sink,
    Store,
)
from reconcile.mirror.store.s3_errors import (
    ChecksumRequiredError,
    ErrorResponse,
    RangeNotSatisfiableError,
    error_of_response,
)
from reconcile.mirror.store.s3_http import S3Client, S3Request

_Result = TypeVar("_Result")
OK = 200
PARTIAL_CONTENT = 206
MAX_KEYS = 1000
"""Limit of the protocol on the keys that one request lists or deletes."""
MAX_PAGES = 5000
"""How many pages of a listing are read: more than a workspace within its limits ever has."""


class S3Store:
    """One prefix of one bucket; `RetryingStore` retries requests."""

    def __init__(
        self,
        location: StoreLocation,
        credentials: CredentialsProvider,
        now: Callable[[], float] = time,
    ) -> None:
        self._client = S3Client(location, credentials, now)
        self._prefix = location.prefix
        self._one_by_one = False
        self._needs_md5 = False

    def get(self, key: str, limit: int = DEFAULT_LIMIT) -> ObjectData:
        request = S3Request("GET", "s3:GetObject", self._prefix + key)
        response = self._client.fetch(request, limit)
        _check_object(response, key, {OK})
        if not response.is_complete:
            raise DamagedError(f"{key} has more than {limit} bytes, so it is not read")
        return ObjectData(response.data, _parse_etag(response.headers.get("ETag", "")))

    def get_into(self, key: str, sink: Sink) -> int:
        request = S3Request("GET", "s3:GetObject", self._prefix + key)
        size, more = self._client.fetch_into(
            request, sink, lambda response: _check_object(response, key, {OK})
        )
        if more:
            raise DamagedError(f"{key} has more than {size} bytes")
        return size

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        if size == 0:
            return b""
        headers = {"Range": f"bytes={offset}-{offset + size - 1}"}
        try:
            response = self._client.fetch(
                S3Request("GET", "s3:GetObject", self._prefix + key, headers=headers),
                offset + size,
            )
        except RangeNotSatisfiableError:
            raise DamagedError(f"{key} ends before byte {offset}") from None
        _check_object(response, key, {OK, PARTIAL_CONTENT})
        # A server without support for ranges answers 200 with the complete object.
        data = response.data
        if response.status == OK:
            data = data[offset : offset + size]
        elif _range_start(response) not in {None, offset}:
            raise UnexpectedResponseError(f"the store sent another part of {key} than requested")
        if len(data) != size:
            raise DamagedError(f"{key} ends at byte {offset + len(data)}, not {offset + size}")
        return data

    def put(self, key: str, parts: Sequence[BytesLike], digest: str) -> None:
        self._put(S3Request("PUT", "s3:PutObject", self._prefix + key, parts=parts, digest=digest))

    def put_if(self, key: str, body: bytes, etag: str | ObjectAbsent) -> str:
        # The ETag is kept and sent without quotes: Ceph 16 compares the header literally with its
        # unquoted ETag, and other stores accept both forms.
        condition = {"If-Match": etag} if isinstance(etag, str) else {"If-None-Match": "*"}
        request = S3Request(
            "PUT",
            "s3:PutObject",
            self._prefix + key,
            headers=condition,
            parts=(body,),
            digest=hashlib.sha256(body).hexdigest(),
        )
        try:
            return self._put(request)
        except MissingObjectError as error:
            raise PreconditionError(f"{key} no longer exists") from error
        except UnexpectedResponseError as error:
            raise StoreAwayError(str(error)) from error

    def _put(self, request: S3Request) -> str:
        """Send a write, with an MD5 as soon as the store has asked for one; return the ETag."""
        try:
            response = self._client.fetch(self._with_checksum(request))
        except ChecksumRequiredError:
            if self._needs_md5:
                raise
            self._needs_md5 = True
            response = self._client.fetch(self._with_checksum(request))
        etag = _parse_etag(response.headers.get("ETag", ""))
        if not etag:
            # Another server answered, such as a proxy with a page of its own: nothing is stored.
            raise StoreAwayError(f"the response to the write of {request.key} has no ETag")
        return etag

    def _with_checksum(self, request: S3Request) -> S3Request:
        if not self._needs_md5:
            return request
        md5 = hashlib.md5(usedforsecurity=False)
        for part in request.parts:
            md5.update(part)
        checksum = {"Content-MD5": b64encode(md5.digest()).decode()}
        return replace(request, headers={**request.headers, **checksum})

    def list(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        query = {
            "list-type": "2",
            "prefix": self._prefix + prefix,
            "max-keys": str(MAX_KEYS),
            "encoding-type": "url",
        }
        start = {"start-after": self._prefix + after} if after else {}
        # A listing that goes back, or names a page again, might never end.
        last, tokens = self._prefix + after, set[str]()
        for _ in range(MAX_PAGES):
            request = S3Request("GET", "s3:ListBucket", "", query=query | start)
            page = s3_xml.parse_list_page(self._client.fetch(request), query["prefix"])
            for each in page.objects:
                if each.key < last:
                    raise StoreAwayError(
                        "the store's listing is not in the order of keys: directory buckets of S3 "
                        "Express One Zone, which list in no order, are not supported"
                    )
                if each.key > last:
                    yield ListedObject(
                        each.key.removeprefix(self._prefix), each.size, each.modified
                    )
                last = each.key
            if not page.token:
                return
            if page.token in tokens:
                raise StoreAwayError("the store's listing does not end: it names a page again")
            tokens.add(page.token)
            start = {"continuation-token": page.token}
        raise StoreError(f"the listing of {query['prefix']} has more than {MAX_PAGES} pages")

    def delete(self, keys: Iterable[str]) -> None:
        remaining = iter(keys)
        while batch := [self._prefix + key for key in islice(remaining, MAX_KEYS)]:
            if self._one_by_one or not self._delete_batch(batch):
                for key in batch:
                    self._delete_one(key)

    def _delete_batch(self, batch: Sequence[str]) -> bool:
        """Return whether the store supports the request; raise the first error of a key."""
        body = s3_xml.build_delete_body(batch)
        request = S3Request(
            "POST",
            "s3:DeleteObject",
            "",
            headers={"Content-MD5": md5sum_hash(body) or ""},
            query={"delete": ""},
            parts=(body,),
            digest=hashlib.sha256(body).hexdigest(),
        )
        try:
            response = self._client.fetch(request)
        except (DeniedError, UnsupportedRequestError):
            # Some servers do not implement it; Ceph 16 requires the permission on the bucket.
            self._one_by_one = True
            return False
        for failed in s3_xml.parse_delete_errors(response):
            raise error_of_response(
                ErrorResponse(OK, failed.code, failed.message or ""),
                replace(self._client.request_context(request), key=failed.name or ""),
            )
        return True

    def _delete_one(self, key: str) -> None:
        with contextlib.suppress(MissingObjectError):
            self._client.fetch(S3Request("DELETE", "s3:DeleteObject", key))

    def retry(self, operation: Callable[[], _Result]) -> _Result:
        return operation()

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()


class _ResponseHead(Protocol):
    """The status and the headers of a response, with its body read or not."""

    @property
    def status(self) -> int:
        """The status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        ...


def _check_object(response: _ResponseHead, key: str, statuses: Set[int]) -> None:
    """Refuse a response that is not an object of S3, such as the page of a proxy."""
    if response.status not in statuses or not response.headers.get("ETag"):
        raise StoreAwayError(
            f"the response to the read of {key} is not an object of S3 (HTTP {response.status})"
        )


def _range_start(response: _ResponseHead) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _parse_etag(header: str) -> str:
    return header.removeprefix("W/").strip('"')


if TYPE_CHECKING:
    _conforms: type[Store] = S3Store
