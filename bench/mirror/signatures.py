"""Checks signatures and digests as S3 does, since a server that checks nothing is faster."""

import hashlib
import hmac
import re
from functools import lru_cache
from urllib.parse import quote, unquote

from bench.mirror.answers import HASHED, HttpRequest

ACCESS, SECRET = "bench", "benchbench"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/s3/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)
_SPACES = re.compile(" +")
_HEXADECIMAL = re.compile("[0-9a-f]{64}")


def refusal(request: HttpRequest) -> str:
    """Return the S3 error code of an invalid request, or an empty string.

    Bodies larger than `HASHED` are not hashed, so that the server does not slow the client. The
    body must still be encoded as it was sent.
    """
    match = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if match is None:
        return "AccessDenied"
    access, day, region, names, proof = match.groups()
    if access != ACCESS:
        return "InvalidAccessKeyId"
    time = request.headers.get("x-amz-date", "")
    digest = request.headers.get("x-amz-content-sha256", "")
    expected = compute_signature(SECRET, time, region, _canonical(request, names, digest))
    if not time.startswith(day) or not hmac.compare_digest(expected, proof):
        return "SignatureDoesNotMatch"
    if _HEXADECIMAL.fullmatch(digest) and len(request.body) <= HASHED:
        actual = hashlib.sha256(request.body).hexdigest()
        return "" if actual == digest else "XAmzContentSHA256Mismatch"
    return ""


def compute_signature(secret: str, time: str, region: str, canonical: bytes) -> str:
    """Return the signature of a canonical request, computed without the client's library.

    Args:
        secret: The secret key.
        time: As in `x-amz-date`.
        region: The region in the credential scope.
        canonical: The canonical request of Signature Version 4.
    """
    scope = f"{time[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", time, scope, digest))
    return _hmac(_signing_key(secret, time[:8], region), text).hex()


@lru_cache(maxsize=4)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _canonical(request: HttpRequest, names: str, digest: str) -> bytes:
    lines = [
        f"{name}:{_SPACES.sub(' ', request.headers.get(name, ''))}\n" for name in names.split(";")
    ]
    parts = (
        request.method,
        _path(request.path),
        _query(request.query),
        "".join(lines),
        names,
        digest,
    )
    return "\n".join(parts).encode("latin-1")


def _path(path: str) -> str:
    """Escape a path as in the canonical request, whatever escapes the client used."""
    return quote(unquote(path, "latin-1"), safe="/", encoding="latin-1")


def _query(query: str) -> str:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return "&".join(sorted(f"{_escaped(name)}={_escaped(value)}" for name, _, value in pairs))


def _escaped(text: str) -> str:
    return quote(unquote(text, "latin-1"), safe="", encoding="latin-1")
