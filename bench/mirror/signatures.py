"""Checks signatures and digests as S3 does, since a server that checks nothing is faster."""

import hashlib
import hmac
import re
from urllib.parse import quote, unquote

from bench.mirror.answers import HASHED, HttpRequest
from reconcile.mirror.store.sigv4 import compute_signature

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
