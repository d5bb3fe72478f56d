"""One signed request to S3 and its response.

minio signs the headers. The module itself sends the request through urllib3, because minio's
client cannot send `If-Match`, retries by itself, and hashes every body again.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http.client import HTTPException, HTTPResponse
from time import time
from typing import Any, cast
from urllib.parse import SplitResult

import certifi
import urllib3
from minio.credentials.credentials import Credentials
from minio.helpers import DictType
from minio.signer import sign_v4_s3
from minio.time import to_amz_date
from msgspec import Struct, field
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout

from reconcile.mirror.errors import DeniedError, SettingsError, StoreError
from reconcile.mirror.store import s3_errors, s3_xml
from reconcile.mirror.store.config import (
    AccessKeys,
    CredentialsProvider,
    StoreLocation,
)
from reconcile.mirror.store.port import BytesLike, Sink
from reconcile.mirror.store.redaction import redact
from reconcile.mirror.store.s3_errors import ErrorResponse, RequestContext
from reconcile.mirror.store.s3_url import follow_redirect, locate_bucket, region_of_host

SUCCESS_STATUSES = frozenset({200, 204, 206})
REDIRECTS = frozenset({307, 308})
"""Statuses whose request is sent again elsewhere, with its method and body."""
MAX_REDIRECTS = 3
EMPTY_SHA256 = sha256(b"").hexdigest()
MAX_RESPONSE = 16 << 20
"""Bytes of a response to read at most, unless it is an object: a page of a listing has 1,000 keys
of at most 1,024 bytes."""

MAX_SMALL_BODY = 64 << 10
"""Bytes of an error or of credentials to read at most."""

_ANY_ZLIB_HEADER = 47
SEND_BUFFER_SIZE = 256 * 1024
"""Bytes to send at a time: large enough to save system calls, small enough for CPU caches."""


class S3Request(Struct, frozen=True):
    """One request.

    Attributes:
        method: HTTP method.
        action: Permission that the request needs, as in policies: `s3:GetObject`.
        key: Complete key with the store's prefix; empty for the bucket itself.
        headers: Headers in addition to those of every request.
        query: Parameters by name.
        parts: Parts of the body, which is their concatenation.
        digest: SHA-256 of the body in hexadecimal. It is signed, so the store refuses other bytes.
    """

    method: str
    action: str
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[BytesLike] = ()
    digest: str = EMPTY_SHA256


class S3Response(Struct, frozen=True):
    """A response; its body is not decoded, and only its beginning unless `is_complete`."""

    status: int
    headers: Mapping[str, str]
    data: bytes
    is_complete: bool


def read_body(response: BaseHTTPResponse, limit: int) -> tuple[bytes, bool]:
    """Read at most `limit` bytes of a body, undecoded; returns whether that is all of it."""
    pieces, remaining = [], limit
    while piece := response.read(remaining + 1, decode_content=False):
        pieces.append(piece[:remaining])
        remaining -= len(piece)
        if remaining < 0:
            response.close()
            return b"".join(pieces), False
    return b"".join(pieces), True


def read_small_body(response: BaseHTTPResponse) -> bytes:
    """Read the beginning of a body, decoded: a small one may unpack to any number of bytes."""
    data, _ = read_body(response, MAX_SMALL_BODY)
    if response.headers.get("Content-Encoding", "").lower() not in {"gzip", "deflate"}:
        return data
    try:
        return zlib.decompressobj(_ANY_ZLIB_HEADER).decompress(data, MAX_SMALL_BODY)
    except zlib.error:
        return b""


class S3Client:
    """Signs requests and sends them, each once; safe for many threads.

    Args:
        location: The bucket, and how to connect to it.
        credentials: Provides the keys that sign the requests.
        now: Returns the seconds since 1970; stores refuse a time that is off by 15 minutes.
    """

    def __init__(
        self,
        location: StoreLocation,
        credentials: CredentialsProvider,
        now: Callable[[], float] = time,
    ) -> None:
        self.location = location
        self._credentials = credentials
        self._now = now
        self._bucket = locate_bucket(location)
        self._http = build_connection_pool(location)

    def send(self, request: S3Request) -> BaseHTTPResponse:
        """Send a request and return the response, whose body is not read yet.

        If the store refuses the keys and there are newer ones, the request is sent once more: a
        refused request has changed nothing.

        Raises:
            StoreError: As specified by `Store`.
        """
        try:
            keys = self._credentials.get_keys()
            response = self._attempt(request, keys)
            if isinstance(response, ErrorResponse) and response.is_auth_failure:
                newer = self._credentials.refresh(keys)
                response = response if newer == keys else self._attempt(request, newer)
        except SettingsError as error:
            raise DeniedError(str(error)) from error
        if isinstance(response, ErrorResponse):
            raise s3_errors.error_of_response(response, self.request_context(request))
        return response

    def fetch(self, request: S3Request, limit: int = MAX_RESPONSE) -> S3Response:
        """Send a request and return the response, of whose body `limit` bytes are read at most."""
        response = self.send(request)
        try:
            data, is_complete = read_body(response, limit)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            response.close()
            raise s3_errors.error_of_exception(error, self.request_context(request)) from error
        return S3Response(response.status, response.headers, data, is_complete)

    def fetch_into(
        self, request: S3Request, sink: Sink, check: Callable[[BaseHTTPResponse], None]
    ) -> tuple[int, bool]:
        """Send a request and read the body of the response until the sink is full.

        `check` raises for a response whose body must not be read.

        Returns:
            How many bytes were read, and whether the body has more.
        """
        response = self.send(request)
        try:
            check(response)
            size, more = _read_body_into(response, sink)
        except (urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
            response.close()
            raise s3_errors.error_of_exception(error, self.request_context(request)) from error
        except BaseException:
            response.close()
            raise
        if more:
            response.close()
        else:
            response.release_conn()
        return size, more

    def request_context(self, request: S3Request) -> RequestContext:
        """Return the context of a request for error messages."""
        return RequestContext(self.location, request.action, request.key)

    def close(self) -> None:
        """Close idle connections."""
        self._http.clear()

    def _attempt(self, request: S3Request, keys: AccessKeys) -> BaseHTTPResponse | ErrorResponse:
        url = self._bucket.build(request.key, request.query)
        response = self._send_once(request, url, keys)
        for _ in range(MAX_REDIRECTS):
            followed = self._redirected_url(response, url)
            if followed is None:
                break
            response.drain_conn()
            url = followed
            response = self._send_once(request, url, keys)
        if response.status in SUCCESS_STATUSES:
            return response
        return self._read_error_response(response, request, keys)

    def _redirected_url(self, response: BaseHTTPResponse, url: SplitResult) -> SplitResult | None:
        target = response.headers.get("Location", "")
        is_redirect = response.status in REDIRECTS and target
        return follow_redirect(self.location, url, target) if is_redirect else None

    def _send_once(
        self, request: S3Request, url: SplitResult, keys: AccessKeys
    ) -> BaseHTTPResponse:
        try:
            return self._http.urlopen(
                request.method,
                url.geturl(),
                body=_request_body(request.parts),
                headers=self._build_headers(request, url, keys),
                preload_content=False,
                redirect=False,
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise s3_errors.error_of_exception(error, self.request_context(request)) from error
        except ValueError as error:
            # Its message may repeat a header with keys, so that it is neither shown nor kept.
            raise StoreError(
                f"{self.request_context(request)} cannot be sent ({type(error).__name__}): a value "
                "of the Secret has characters that HTTP does not allow"
            ) from None

    def _build_headers(
        self, request: S3Request, url: SplitResult, keys: AccessKeys
    ) -> dict[str, str]:
        """Return all headers to send; all of them are signed."""
        now = datetime.fromtimestamp(self._now(), UTC)
        headers: DictType = {
            "Host": url.netloc,
            "x-amz-content-sha256": request.digest,
            "x-amz-date": to_amz_date(now),
            **request.headers,
        }
        if request.parts or request.method in {"PUT", "POST"}:
            headers["Content-Length"] = str(sum(map(len, request.parts)))
        if keys.session_token:
            headers["x-amz-security-token"] = keys.session_token
        signed = sign_v4_s3(
            method=request.method,
            url=url,
            region=region_of_host(url, self.location.region),
            headers=headers,
            credentials=Credentials(keys.access_key, keys.secret_key),
            content_sha256=request.digest,
            date=now,
        )
        return cast(dict[str, str], signed)

    def _read_error_response(
        self, response: BaseHTTPResponse, request: S3Request, keys: AccessKeys
    ) -> ErrorResponse:
        try:
            body = read_small_body(response)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise s3_errors.error_of_exception(error, self.request_context(request)) from error
        code, message = s3_xml.parse_error_body(body)
        headers, secrets = response.headers, (*keys.secrets(), *self.location.proxy.secrets())
        return ErrorResponse(
            status=response.status,
            code=redact(code, secrets),
            message=redact(message, secrets),
            region=redact(headers.get("x-amz-bucket-region", ""), secrets),
            retry_after=self._parse_retry_after(headers.get("Retry-After", "")),
            skew=self._clock_skew(headers.get("Date", "")),
        )

    def _parse_retry_after(self, text: str) -> float:
        """Parse a Retry-After header, which is a number of seconds or a date."""
        try:
            return max(0.0, float(text))
        except ValueError:
            return max(0.0, -self._clock_skew(text))

    def _clock_skew(self, date: str) -> float:
        """Return the seconds from an HTTP date until now; 0 if the date is missing or invalid."""
        try:
            return self._now() - parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return 0.0


def _read_body_into(response: BaseHTTPResponse, sink: Sink) -> tuple[int, bool]:
    """Read a body until the sink is full; IncompleteRead if the connection ends too early."""
    # `readinto` of urllib3 copies through another buffer: a tenth of the time of a large restore.
    body = getattr(response, "_fp", None)
    if not isinstance(body, HTTPResponse):
        body = response
    expected, total = response.length_remaining, 0
    sink.begin()
    while space := sink.space():
        if not (size := body.readinto(space)):
            if expected is not None and total < expected:
                raise urllib3.exceptions.IncompleteRead(total, expected - total)
            return total, False
        sink.take(size)
        total += size
    return total, bool(body.read(1))


def build_connection_pool(location: StoreLocation) -> urllib3.PoolManager:
    """Return a connection pool without automatic retries and redirects."""
    settings: dict[str, Any] = {
        "timeout": Timeout(connect=location.timeouts.connect, read=location.timeouts.read),
        "maxsize": location.connections,
        "cert_reqs": "CERT_REQUIRED",
        "ca_certs": location.ca_file or certifi.where(),
        "retries": False,
    }
    if location.proxy.url:
        headers = {"Proxy-Authorization": f"Basic {location.proxy.basic_auth}"}
        return urllib3.ProxyManager(
            location.proxy.url,
            num_pools=2,
            proxy_headers=headers if location.proxy.login else None,
            **settings,
        )
    return urllib3.PoolManager(num_pools=2, **settings)


def _request_body(parts: Sequence[BytesLike]) -> BytesLike | Iterator[BytesLike] | None:
    if len(parts) <= 1:
        return parts[0] if parts else None
    return _join_small_parts(parts)


def _join_small_parts(parts: Sequence[BytesLike]) -> Iterator[BytesLike]:
    """Join small parts; a large part is never copied."""
    pending: list[BytesLike] = []
    size = 0
    for part in parts:
        if size + len(part) > SEND_BUFFER_SIZE and pending:
            yield b"".join(pending)
            pending, size = [], 0
        pending.append(part)
        size += len(part)
    if pending:
        yield b"".join(pending)
