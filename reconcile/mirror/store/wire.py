"""One signed request to S3 and its answer: what only minio-py and urllib3 need to know."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urlunsplit

import certifi
import urllib3
from minio import time as minio_time
from minio.credentials.credentials import Credentials as Signer
from minio.error import S3Error
from minio.helpers import BaseURL
from minio.signer import sign_v4_s3
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout

from reconcile.mirror.errors import DeniedError, SettingsError
from reconcile.mirror.store import broken, refusals
from reconcile.mirror.store.location import Credentials, Keys, Location, Style
from reconcile.mirror.store.refusals import Asked, Refusal

SUCCESS = frozenset({200, 204, 206})
EMPTY = sha256(b"").hexdigest()
PIECE = 256 * 1024
"""Small parts of a body are put together up to this many bytes, to save calls of the system."""

Headers: TypeAlias = dict[str, str | list[str] | tuple[str]]


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `key` is from the bucket's root on, and empty for the bucket itself.

    Attributes:
        method: Of HTTP.
        action: The right that it needs, in the words of policies.
        key: What it is about.
        headers: Beside those of every request.
        query: Parameters by name.
        parts: The body, one after the other.
        digest: SHA-256 of the body, which is signed: the store refuses other bytes.
    """

    method: str
    action: str
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[bytes] = ()
    digest: str = EMPTY


class Wire:
    """Signs requests and sends them, each once; safe for many threads."""

    def __init__(self, location: Location, credentials: Credentials) -> None:
        self.location = location
        self._credentials = credentials
        self._base = BaseURL(location.endpoint, location.region)
        if location.style is not Style.AUTO:
            self._base.virtual_style_flag = location.style is Style.VIRTUAL_HOST
        self._http = pool(location)

    def send(self, request: Request) -> BaseHTTPResponse:
        """Send a request and return the answer, whose body is still to be read.

        Keys that the store refuses are read again, and if there are newer ones the request is made
        once more: a refused request has changed nothing.

        Raises:
            StoreError: Of the kind that `Store` promises.
        """
        try:
            keys = self._credentials.keys()
            answer = self._tried(request, keys)
            if isinstance(answer, Refusal) and answer.is_about_keys:
                newer = self._credentials.renewed(keys)
                answer = answer if newer == keys else self._tried(request, newer)
        except SettingsError as error:
            raise DeniedError(str(error)) from error
        if isinstance(answer, Refusal):
            raise refusals.error_of(answer, self.asked(request))
        return answer

    def fetch(self, request: Request) -> BaseHTTPResponse:
        """Send a request and return the answer with its whole body, as it was stored, in `data`."""
        answer = self.send(request)
        try:
            answer.read(decode_content=False, cache_content=True)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            answer.close()
            raise broken.error_of(error, self.asked(request)) from error
        return answer

    def asked(self, request: Request) -> Asked:
        """Return what an error says about a request."""
        return Asked(self.location, request.action, request.key)

    def close(self) -> None:
        """Close what connections are idle."""
        self._http.clear()

    def _tried(self, request: Request, keys: Keys) -> BaseHTTPResponse | Refusal:
        answer = self._once(request, keys)
        if answer.status in SUCCESS:
            return answer
        refusal = self._refusal(answer, request)
        return replace(refusal, message=_without(refusal.message, keys))

    def _once(self, request: Request, keys: Keys) -> BaseHTTPResponse:
        url = self._url(request)
        headers = self._signed(request, url, keys)
        try:
            return self._http.urlopen(
                request.method,
                urlunsplit(url),
                body=_body(request.parts),
                headers=headers,
                preload_content=False,
                redirect=False,
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise broken.error_of(error, self.asked(request)) from error

    def _url(self, request: Request) -> SplitResult:
        return self._base.build(
            method=request.method,
            region=self.location.region,
            bucket_name=self.location.bucket,
            object_name=request.key or None,
            query_params=dict(request.query),
        )

    def _signed(self, request: Request, url: SplitResult, keys: Keys) -> Mapping[str, str]:
        now = minio_time.utcnow()
        headers: Headers = {
            "Host": url.netloc,
            "x-amz-content-sha256": request.digest,
            "x-amz-date": minio_time.to_amz_date(now),
            **request.headers,
        }
        if request.parts or request.method in {"PUT", "POST"}:
            headers["Content-Length"] = str(sum(map(len, request.parts)))
        if keys.token:
            headers["x-amz-security-token"] = keys.token
        signed = sign_v4_s3(
            method=request.method,
            url=url,
            region=self.location.region,
            headers=headers,
            credentials=Signer(keys.access, keys.secret, keys.token or None),
            content_sha256=request.digest,
            date=now,
        )
        return {name: str(value) for name, value in signed.items()}

    def _refusal(self, answer: BaseHTTPResponse, request: Request) -> Refusal:
        try:
            answer.read(cache_content=True)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise broken.error_of(error, self.asked(request)) from error
        code, message = _said(answer)
        headers = answer.headers
        return Refusal(
            status=answer.status,
            code=code,
            message=message,
            region=headers.get("x-amz-bucket-region", ""),
            retry_after=_seconds(headers.get("Retry-After", "")),
            skew=_skew(headers.get("Date", "")),
        )


def pool(location: Location) -> urllib3.PoolManager:
    """Return connections that retry nothing and follow nothing by themselves."""
    settings: dict[str, Any] = {
        "timeout": Timeout(connect=location.patience.connect, read=location.patience.read),
        "maxsize": location.connections,
        "cert_reqs": "CERT_REQUIRED",
        "ca_certs": location.ca_file or certifi.where(),
        "retries": False,
    }
    if location.proxy:
        return urllib3.ProxyManager(location.proxy, num_pools=2, **settings)
    return urllib3.PoolManager(num_pools=2, **settings)


def _body(parts: Sequence[bytes]) -> bytes | Iterator[bytes] | None:
    if len(parts) <= 1:
        return parts[0] if parts else None
    return _pieces(parts)


def _pieces(parts: Sequence[bytes]) -> Iterator[bytes]:
    """Put small parts together; a large one is never copied."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        if size + len(part) > PIECE and waiting:
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(part)
        size += len(part)
    if waiting:
        yield b"".join(waiting)


def _said(answer: BaseHTTPResponse) -> tuple[str, str]:
    """Return S3's code and message; empty where the answer is somebody else's."""
    try:
        said = S3Error.fromxml(answer)
    except (SyntaxError, ValueError):
        return "", ""
    return said.code or "", said.message or ""


def _without(text: str, keys: Keys) -> str:
    """Take secrets out of what a server said, should it repeat them."""
    for secret in filter(None, (keys.secret, keys.token)):
        text = text.replace(secret, "…")
    return text


def _seconds(text: str) -> float:
    """Read a Retry-After: seconds or a date."""
    try:
        return max(0.0, float(text))
    except ValueError:
        return max(0.0, -_skew(text))


def _skew(date: str) -> float:
    """Seconds from an HTTP date until now; 0 where there is none."""
    try:
        return (minio_time.utcnow() - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
