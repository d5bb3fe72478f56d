"""Checks signatures and digests as a real S3 does: a server that lets everybody in costs less."""

import hashlib
import hmac
import re
from functools import lru_cache
from urllib.parse import quote, unquote

from bench.mirror.answers import HASHED, Asked

ACCESS, SECRET = "bench", "benchbench"

_SAID = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/s3/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)
_SPACES = re.compile(" +")
_HEXADECIMAL = re.compile("[0-9a-f]{64}")


def refusal(asked: Asked) -> str:
    """Return S3's name for what is wrong with a request, or nothing.

    Bodies beyond `HASHED` are not hashed, so that no client is held up by the server. The body
    must be as it was sent, not taken apart yet.
    """
    said = _SAID.fullmatch(asked.headers.get("authorization", ""))
    if said is None:
        return "AccessDenied"
    access, day, region, names, proof = said.groups()
    if access != ACCESS:
        return "InvalidAccessKeyId"
    time = asked.headers.get("x-amz-date", "")
    digest = asked.headers.get("x-amz-content-sha256", "")
    expected = compute_signature(SECRET, time, region, _canonical(asked, names, digest))
    if not time.startswith(day) or not hmac.compare_digest(expected, proof):
        return "SignatureDoesNotMatch"
    if _HEXADECIMAL.fullmatch(digest) and len(asked.body) <= HASHED:
        found = hashlib.sha256(asked.body).hexdigest()
        return "" if found == digest else "XAmzContentSHA256Mismatch"
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


def _canonical(asked: Asked, names: str, digest: str) -> bytes:
    lines = [
        f"{name}:{_SPACES.sub(' ', asked.headers.get(name, ''))}\n" for name in names.split(";")
    ]
    parts = (asked.method, _path(asked.path), _query(asked.query), "".join(lines), names, digest)
    return "\n".join(parts).encode("latin-1")


def _path(path: str) -> str:
    """Escape a path as it is signed, however it was sent."""
    return quote(unquote(path, "latin-1"), safe="/", encoding="latin-1")


def _query(query: str) -> str:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return "&".join(sorted(f"{_escaped(name)}={_escaped(value)}" for name, _, value in pairs))


def _escaped(text: str) -> str:
    return quote(unquote(text, "latin-1"), safe="", encoding="latin-1")
