"""The XML of the S3 server in memory: lists, errors, results of uploads and deletions."""

import base64
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from bench.mirror.answers import HttpRequest, HttpResponse, Object, Objects

_START = '<?xml version="1.0" encoding="UTF-8"?>'
_SPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def page(body: str, status: int = 200) -> "HttpResponse":
    """Return XML as a response."""
    from bench.mirror.answers import HttpResponse  # noqa: PLC0415 - circular

    data = (_START + body).encode("utf-8", "surrogateescape")
    return HttpResponse(status, {"Content-Type": "application/xml"}, [memoryview(data)])


def error(status: int, code: str) -> "HttpResponse":
    """Return an error response."""
    return page(f"<Error><Code>{code}</Code><Message>{code}</Message></Error>", status)


def hexadecimal(md5: str) -> str:
    """Return a Content-MD5 in the format of ETags."""
    return base64.b64decode(md5).hex()


def copied(etag: str) -> "HttpResponse":
    """Return the result of a copy."""
    return page(
        f'<CopyObjectResult><ETag>"{etag}"</ETag>'
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></CopyObjectResult>"
    )


def upload(name: str, number: str) -> "HttpResponse":
    """Return the ID of a new multipart upload."""
    bucket, _, key = name.partition("/")
    return page(
        f"<InitiateMultipartUploadResult{_SPACE}><Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
        f"<UploadId>{number}</UploadId></InitiateMultipartUploadResult>"
    )


def completed(name: str, etag: str) -> "HttpResponse":
    """Return the result of a complete multipart upload."""
    bucket, _, key = name.partition("/")
    return page(
        f"<CompleteMultipartUploadResult{_SPACE}><Location>/{escape(name)}</Location>"
        f'<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><ETag>"{etag}"</ETag>'
        "</CompleteMultipartUploadResult>"
    )


def bucket(
    objects: "Objects", request: "HttpRequest", name: str, query: Mapping[str, str]
) -> "HttpResponse":
    """Handle a request for a bucket itself; every bucket exists."""
    from bench.mirror.answers import HttpResponse  # noqa: PLC0415 - circular

    if request.method == "POST" and "delete" in query:
        return _delete(objects, request, name)
    if request.method != "GET":
        return HttpResponse(200)
    if not name:
        return page(f"<ListAllMyBucketsResult{_SPACE}><Buckets/></ListAllMyBucketsResult>")
    if "location" in query:
        return page(f"<LocationConstraint{_SPACE}>us-east-1</LocationConstraint>")
    if set(query) & {"versioning", "object-lock", "encryption", "policy", "uploads"}:
        return error(404, "NotFound")
    return _list(objects, name, query)


def _delete(objects: "Objects", request: "HttpRequest", name: str) -> "HttpResponse":
    text = bytes(request.body).decode("utf-8", "surrogateescape")
    for key in re.findall(r"<Key>(.*?)</Key>", text, re.DOTALL):
        objects.delete(f"{name}/{unescape(key)}")
    return page(f"<DeleteResult{_SPACE}/>")


def _list(objects: "Objects", name: str, query: Mapping[str, str]) -> "HttpResponse":
    """One page of a list, version 1 or 2, with a delimiter or without."""
    start = f"{name}/{query.get('prefix', '')}"
    after = unquote(query.get("continuation-token", ""), errors="surrogateescape")
    after = after or query.get("start-after") or query.get("marker", "")
    names, limit = objects.names, int(query.get("max-keys", 1000))
    place = bisect_left(names, start)
    if after:
        place = max(place, bisect_right(names, f"{name}/{after}"))
    items: list[str] = []
    last = ""
    while place < len(names) and names[place].startswith(start) and len(items) < limit:
        shown, group = _shown(names[place], start, query.get("delimiter", ""))
        last = names[place].partition("/")[2]
        if group:
            last = shown.partition("/")[2] + "\U0010ffff"
            items.append(f"<CommonPrefixes><Prefix>{_text(shown, query)}</Prefix></CommonPrefixes>")
            place = bisect_left(names, shown + "\U0010ffff")
        else:
            items.append(_entry(_text(shown, query), objects.by_name[shown]))
            place += 1
    more = place < len(names) and names[place].startswith(start)
    token = quote(last, errors="surrogateescape")
    rest = f"<NextContinuationToken>{token}</NextContinuationToken>" if more else ""
    rest += f"<NextMarker>{token if 'encoding-type' in query else _plain(last)}</NextMarker>"
    coded = "<EncodingType>url</EncodingType>" if "encoding-type" in query else ""
    return page(
        f"<ListBucketResult{_SPACE}><Name>{name}</Name>"
        f"<Prefix>{_plain(query.get('prefix', ''))}</Prefix><MaxKeys>{limit}</MaxKeys>"
        f"<KeyCount>{len(items)}</KeyCount>{coded}<IsTruncated>{str(more).lower()}</IsTruncated>"
        f"{rest}{''.join(items)}</ListBucketResult>"
    )


def _shown(name: str, start: str, delimiter: str) -> tuple[str, bool]:
    end = name.find(delimiter, len(start)) if delimiter else -1
    return (name, False) if end < 0 else (name[: end + len(delimiter)], True)


def _text(name: str, query: Mapping[str, str]) -> str:
    key = name.partition("/")[2]
    return quote(key, errors="surrogateescape") if "encoding-type" in query else _plain(key)


def _plain(key: str) -> str:
    return escape(key, {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _entry(key: str, thing: "Object") -> str:
    when = datetime.fromtimestamp(thing.modified, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f'<Contents><Key>{key}</Key><LastModified>{when}</LastModified><ETag>"{thing.etag}"</ETag>'
        f"<Size>{thing.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )
