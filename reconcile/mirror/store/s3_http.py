"""One signed request to S3 and its answer.

Where a request goes: the host, and the path of a key.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http.client import HTTPException, HTTPResponse
from time import time
from typing import Any
from urllib.parse import quote, urlsplit

import certifi
import urllib3
from msgspec import Struct, field
from msgspec.structs import replace
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout

from reconcile.mirror.errors import DeniedError, SettingsError
from reconcile.mirror.store import s3_errors, s3_xml
from reconcile.mirror.store.config import Credentials, Keys, Location, Style
from reconcile.mirror.store.port import Bytes, Room
from reconcile.mirror.store.s3_errors import Asked, Refusal
from reconcile.mirror.store.sigv4 import Draft, signed

_PROVIDERS = re.compile(r"\.(amazonaws\.com(\.cn)?|aliyuncs\.com)$")
"""Whose host names have rules of their own, which minio-py knows."""


class Address(Struct, frozen=True):
    """A bucket's scheme, its host with the port, and the path in front of keys."""

    scheme: str
    host: str
    path: str

    def of(self, key: str) -> str:
        """Return a key's path, percent-encoded; that of the bucket for an empty key."""
        if not key:
            return self.path or "/"
        return f"{self.path}/{quote(key)}"

    def url(self, path: str, query: str) -> str:
        """Return what HTTP asks for."""
        asked = f"?{query}" if query else ""
        return f"{self.scheme}://{self.host}{path}{asked}"


def address_of(location: Location) -> Address:
    """Tell where a bucket is.

    Raises:
        SettingsError: Endpoint, region and bucket do not go together.
    """
    url = urlsplit(location.endpoint)
    if _PROVIDERS.search(url.hostname or ""):
        return _of_provider(location)
    # A certificate for *.host does not cover a bucket with dots in its name.
    dotted = "." in location.bucket and url.scheme == "https"
    if location.style is Style.VIRTUAL_HOST and not dotted:
        return Address(url.scheme, f"{location.bucket}.{url.netloc}", "")
    return Address(url.scheme, url.netloc, f"/{location.bucket}")


def _of_provider(location: Location) -> Address:
    from minio.helpers import BaseURL

    try:
        base = BaseURL(location.endpoint, location.region)
        if location.style is not Style.AUTO:
            base.virtual_style_flag = location.style is Style.VIRTUAL_HOST
        url = base.build(
            method="GET",
            region=location.region,
            bucket_name=location.bucket,
            object_name="key",
        )
    except ValueError as error:
        raise SettingsError(f"S3_ENDPOINT or S3_REGION makes no sense: {error}") from error
    return Address(url.scheme, url.netloc, url.path.removesuffix("/key"))


def query_of(parameters: Mapping[str, str]) -> str:
    """Return parameters percent-encoded and in the order in which they are signed."""
    pairs = sorted((quote(name, ""), quote(value, "")) for name, value in parameters.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


SUCCESS = frozenset({200, 204, 206})
EMPTY = sha256(b"").hexdigest()
PIECE = 256 * 1024
"""Bytes that are sent or read at a time: enough to save calls, and little enough for caches."""


class Request(Struct, frozen=True):
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
    parts: Sequence[Bytes] = ()
    digest: str = EMPTY


class Wire:
    """Signs requests and sends them, each once; safe for many threads.

    Args:
        location: Where to.
        credentials: Whose requests they are.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        location: Location,
        credentials: Credentials,
        now: Callable[[], float] = time,
    ) -> None:
        self.location = location
        self._credentials = credentials
        self._now = now
        self._address = address_of(location)
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
            raise s3_errors.error_of_response(answer, self.asked(request))
        return answer

    def fetch(self, request: Request) -> BaseHTTPResponse:
        """Send a request and return the answer with its whole body, as it was stored, in `data`."""
        answer = self.send(request)
        try:
            answer.read(decode_content=False, cache_content=True)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            answer.close()
            raise s3_errors.error_of_exception(error, self.asked(request)) from error
        return answer

    def fetch_into(self, request: Request, room: Room) -> tuple[int, bool]:
        """Send a request and read the answer's body, as far as there is room.

        Returns:
            How many bytes were read, and whether the body has more.
        """
        answer = self.send(request)
        try:
            size, more = _read_into(answer, room)
        except (urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
            answer.close()
            raise s3_errors.error_of_exception(error, self.asked(request)) from error
        except BaseException:
            answer.close()
            raise
        if more:
            answer.close()
        else:
            answer.release_conn()
        return size, more

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
        draft = self._draft(request)
        try:
            return self._http.urlopen(
                request.method,
                self._address.url(draft.path, draft.query),
                body=_body(request.parts),
                headers=signed(draft, keys, self.location.region, self._now()),
                preload_content=False,
                redirect=False,
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise s3_errors.error_of_exception(error, self.asked(request)) from error

    def _draft(self, request: Request) -> Draft:
        headers = dict(request.headers)
        if request.parts or request.method in {"PUT", "POST"}:
            headers["Content-Length"] = str(sum(map(len, request.parts)))
        return Draft(
            method=request.method,
            host=self._address.host,
            path=self._address.of(request.key),
            query=query_of(request.query),
            headers=headers,
            digest=request.digest,
        )

    def _refusal(self, answer: BaseHTTPResponse, request: Request) -> Refusal:
        try:
            answer.read(cache_content=True)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise s3_errors.error_of_exception(error, self.asked(request)) from error
        code, message = s3_xml.complaint(answer.data)
        headers = answer.headers
        return Refusal(
            status=answer.status,
            code=code,
            message=message,
            region=headers.get("x-amz-bucket-region", ""),
            retry_after=self._seconds(headers.get("Retry-After", "")),
            skew=self._skew(headers.get("Date", "")),
        )

    def _seconds(self, text: str) -> float:
        """Read a Retry-After: seconds or a date."""
        try:
            return max(0.0, float(text))
        except ValueError:
            return max(0.0, -self._skew(text))

    def _skew(self, date: str) -> float:
        """Seconds from an HTTP date until now; 0 where there is none."""
        try:
            return self._now() - parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return 0.0


def _read_into(answer: BaseHTTPResponse, room: Room) -> tuple[int, bool]:
    """Read a body, and one byte at most of what has no room; IncompleteRead if it is cut off."""
    # urllib3's own `readinto` copies what it has read elsewhere: a tenth of a large restore.
    body = getattr(answer, "_fp", None)
    if not isinstance(body, HTTPResponse):
        body = answer
    promised, at = answer.length_remaining, 0
    room.begin()
    while space := room.space():
        if not (size := body.readinto(space)):
            if promised is not None and at < promised:
                raise urllib3.exceptions.IncompleteRead(at, promised - at)
            return at, False
        room.take(size)
        at += size
    return at, bool(body.read(1))


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


def _body(parts: Sequence[Bytes]) -> Bytes | Iterator[Bytes] | None:
    if len(parts) <= 1:
        return parts[0] if parts else None
    return _pieces(parts)


def _pieces(parts: Sequence[Bytes]) -> Iterator[Bytes]:
    """Put small parts together; a large one is never copied."""
    waiting: list[Bytes] = []
    size = 0
    for part in parts:
        if size + len(part) > PIECE and waiting:
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(part)
        size += len(part)
    if waiting:
        yield b"".join(waiting)


def _without(text: str, keys: Keys) -> str:
    """Take secrets out of what a server said, should it repeat them."""
    for secret in filter(None, (keys.secret, keys.token)):
        text = text.replace(secret, "…")
    return text
