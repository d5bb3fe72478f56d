"""A Store on S3: each method is one request (a list is one a page), and none is made twice."""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from time import time
from typing import TYPE_CHECKING

from minio.helpers import md5sum_hash
from msgspec.structs import replace

from reconcile.mirror.errors import (
    DamagedError,
    DeniedError,
    MissingObjectError,
    PreconditionError,
    StoreAwayError,
)
from reconcile.mirror.store import s3_xml
from reconcile.mirror.store.config import CredentialsProvider, StoreLocation
from reconcile.mirror.store.port import (
    BytesLike,
    ListedObject,
    ObjectAbsent,
    ObjectData,
    Sink,
    Store,
)
from reconcile.mirror.store.s3_errors import (
    ErrorResponse,
    RangeNotSatisfiableError,
    UnknownFunctionError,
    error_of_response,
)
from reconcile.mirror.store.s3_http import S3Client, S3Request

OK = 200
PARTIAL_CONTENT = 206
MAX_KEYS = 1000
"""How many keys one request lists or deletes, by the protocol."""


class S3Store:
    """One prefix of one bucket; retries are the business of `RetryingStore`."""

    def __init__(
        self,
        location: StoreLocation,
        credentials: CredentialsProvider,
        now: Callable[[], float] = time,
    ) -> None:
        self._client = S3Client(location, credentials, now)
        self._prefix = location.prefix
        self._one_by_one = False

    def get(self, key: str) -> ObjectData:
        answer = self._client.fetch(S3Request("GET", "s3:GetObject", self._prefix + key))
        return ObjectData(answer.data, _parse_etag(answer.headers.get("ETag", "")))

    def get_into(self, key: str, sink: Sink) -> int:
        request = S3Request("GET", "s3:GetObject", self._prefix + key)
        size, more = self._client.fetch_into(request, sink)
        if more:
            raise DamagedError(f"{key} has more than {size} bytes")
        return size

    def get_range(self, key: str, offset: int, size: int) -> bytes:
        if size == 0:
            return b""
        headers = {"Range": f"bytes={offset}-{offset + size - 1}"}
        try:
            answer = self._client.fetch(
                S3Request("GET", "s3:GetObject", self._prefix + key, headers=headers)
            )
        except RangeNotSatisfiableError:
            raise DamagedError(f"{key} ends before byte {offset}") from None
        # A server that knows no ranges answers 200 with everything.
        data = (
            answer.data if answer.status == PARTIAL_CONTENT else answer.data[offset : offset + size]
        )
        if len(data) != size:
            raise DamagedError(f"{key} ends at byte {offset + len(data)}, not {offset + size}")
        return data

    def put(self, key: str, parts: Sequence[BytesLike], digest: str) -> None:
        self._client.fetch(
            S3Request("PUT", "s3:PutObject", self._prefix + key, parts=parts, digest=digest)
        )

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
            written = self._client.fetch(request).headers.get("ETag", "")
        except MissingObjectError as error:
            raise PreconditionError(f"{key} is gone") from error
        if not written:
            raise StoreAwayError(f"the store did not say under which ETag it has {key} now")
        return _parse_etag(written)

    def list(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        query = {
            "list-type": "2",
            "prefix": self._prefix + prefix,
            "max-keys": str(MAX_KEYS),
            "encoding-type": "url",
        }
        place = {"start-after": self._prefix + after} if after else {}
        while True:
            request = S3Request("GET", "s3:ListBucket", "", query=query | place)
            page = s3_xml.parse_list_page(self._client.fetch(request))
            for each in page.objects:
                yield ListedObject(each.key.removeprefix(self._prefix), each.size, each.modified)
            if not page.token:
                return
            place = {"continuation-token": page.token}

    def delete(self, keys: Iterable[str]) -> None:
        waiting = iter(keys)
        while batch := [self._prefix + key for key in islice(waiting, MAX_KEYS)]:
            if self._one_by_one or not self._delete_batch(batch):
                for key in batch:
                    self._delete_one(key)

    def _delete_batch(self, batch: Sequence[str]) -> bool:
        """Tell whether the store took the request; what it says of single keys is raised."""
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
            answer = self._client.fetch(request)
        except (DeniedError, UnknownFunctionError):
            # Some servers lack it, and Ceph 16 wants the right for the bucket, not for the keys.
            self._one_by_one = True
            return False
        for failed in s3_xml.parse_delete_errors(answer):
            raise error_of_response(
                ErrorResponse(OK, failed.code, failed.message or ""),
                replace(self._client.request_context(request), key=failed.name or ""),
            )
        return True

    def _delete_one(self, key: str) -> None:
        with contextlib.suppress(MissingObjectError):
            self._client.fetch(S3Request("DELETE", "s3:DeleteObject", key))

    def close(self) -> None:
        """Close what connections are idle."""
        self._client.close()


def _parse_etag(header: str) -> str:
    return header.removeprefix("W/").strip('"')


if TYPE_CHECKING:
    _conforms: type[Store] = S3Store
