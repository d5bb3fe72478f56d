"""Signs requests by AWS's Signature Version 4.

minio-py signs as well, but only together with its whole client, whose import takes as long as a
pass over thousands of files. Tests hold every signature against minio-py's.
"""

import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from time import gmtime, strftime

from msgspec import Struct

from reconcile.mirror.store.config import AccessKeys

_ALGORITHM = "AWS4-HMAC-SHA256"
_REPEATED_SPACES = re.compile(" +")


class UnsignedRequest(Struct, frozen=True):
    """A request to be signed.

    Attributes:
        method: Of HTTP.
        host: With the port, as it is sent.
        path: Percent-encoded already.
        query: `name=value` pairs joined by `&`, percent-encoded, sorted by name and value.
        headers: All but `Host`, and they are signed all.
        digest: SHA-256 of the body in hexadecimal digits.
    """

    method: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str]
    digest: str


def sign_headers(
    request: UnsignedRequest, keys: AccessKeys, region: str, now: float
) -> dict[str, str]:
    """Return the headers to send, `Authorization` among them.

    Args:
        request: What is to be sent.
        keys: Whose request it is.
        region: Where the store says that it is.
        now: Seconds since 1970: servers refuse what is off by more than 15 minutes.
    """
    time = strftime("%Y%m%dT%H%M%SZ", gmtime(now))
    headers = {
        "Host": request.host,
        "x-amz-content-sha256": request.digest,
        "x-amz-date": time,
        **request.headers,
    }
    if keys.session_token:
        headers["x-amz-security-token"] = keys.session_token
    names, canonical = _canonical_request(request, headers)
    proof = compute_signature(keys.secret_key, time, region, canonical.encode())
    headers["Authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key}/{_credential_scope(time, region)}, SignedHeaders={names}, "
        f"Signature={proof}"
    )
    return headers


def compute_signature(secret: str, time: str, region: str, canonical: bytes) -> str:
    """Return what proves that whoever sends a request knows the secret.

    Args:
        secret: The secret key.
        time: As in `x-amz-date`.
        region: Where the store says that it is.
        canonical: The request in the form that both sides hash.
    """
    said = (_ALGORITHM, time, _credential_scope(time, region), sha256(canonical).hexdigest())
    return _hmac(_signing_key(secret, time[:8], region), "\n".join(said)).hex()


def _credential_scope(time: str, region: str) -> str:
    return f"{time[:8]}/{region}/s3/aws4_request"


def _canonical_request(request: UnsignedRequest, headers: Mapping[str, str]) -> tuple[str, str]:
    """Return the names of what is signed, and the request in the form that both sides hash."""
    lines = {
        name.lower(): _REPEATED_SPACES.sub(" ", value).strip() for name, value in headers.items()
    }
    names = ";".join(sorted(lines))
    written = "".join(f"{name}:{lines[name]}\n" for name in sorted(lines))
    parts = (request.method, request.path, request.query, written, names, request.digest)
    return names, "\n".join(parts)


@lru_cache(maxsize=4)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    """Derive the key of one day, which is the same for all its requests."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
