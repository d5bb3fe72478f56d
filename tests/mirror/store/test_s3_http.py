"""Requests as a server receives them, and what the client makes of the responses."""

import gzip
import hashlib
import socket
import ssl
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace

from reconcile.mirror.errors import (
    DamagedError,
    DeniedError,
    StoreAwayError,
    StoreError,
    UnexpectedResponseError,
)
from reconcile.mirror.restore.downloader import MemorySink
from reconcile.mirror.store import s3
from reconcile.mirror.store.config import (
    AccessKeys,
    AddressingStyle,
    Proxy,
    StoreLocation,
    Timeouts,
)
from reconcile.mirror.store.port import ABSENT
from reconcile.mirror.store.s3 import S3Store
from reconcile.mirror.store.s3_http import EMPTY_SHA256, MAX_REDIRECTS
from tests.controlplane import ports
from tests.s3 import recorder
from tests.s3.access import StaticCredentials
from tests.s3.recorder import PreparedResponse, Recorder

KEYS = StaticCredentials(AccessKeys("AKIAPUBLIC", "very-secret", "session-token"))


@pytest.fixture
def wire() -> Iterator[Recorder]:
    with recorder.running() as running:
        yield running


@pytest.fixture
def store(wire: Recorder) -> S3Store:
    return S3Store(StoreLocation(wire.url, "bucket", "team/one/"), KEYS)


def test_a_condition_is_a_signed_header_without_quotes_and_not_metadata(
    wire: Recorder, store: S3Store
) -> None:
    assert store.put_if("HEAD", b"body", "abc") == "0123"
    store.put_if("HEAD", b"body", ABSENT)
    with_etag, absent = wire.received
    assert with_etag.headers["if-match"] == "abc"
    assert absent.headers["if-none-match"] == "*"
    for received in wire.received:
        assert not [name for name in received.headers if name.startswith("x-amz-meta")]
        signed = received.headers["authorization"]
        assert "if-match" in signed or "if-none-match" in signed


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_the_client_retries_no_request(wire: Recorder, store: S3Store, status: int) -> None:
    wire.answer = lambda _: PreparedResponse(status, {"Retry-After": "7"})
    with pytest.raises(StoreAwayError) as caught:
        store.put_if("HEAD", b"body", ABSENT)
    assert caught.value.retry_after == 7
    with pytest.raises(StoreAwayError):
        store.get("HEAD")
    assert [each.method for each in wire.received] == ["PUT", "GET"]


def test_a_body_is_sent_completely_with_the_given_digest(wire: Recorder, store: S3Store) -> None:
    parts = [b"a" * 100, b"b" * (1 << 20), b"", b"c"]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()
    store.put("packs/one.tar", parts, digest)
    [received] = wire.received
    assert received.path == "/bucket/team/one/packs/one.tar"
    assert received.body == b"".join(parts)
    assert received.headers["x-amz-content-sha256"] == digest
    assert received.headers["x-amz-security-token"] == "session-token"


def test_the_style_decides_whether_the_bucket_is_in_the_host(wire: Recorder) -> None:
    where = StoreLocation(
        wire.url.replace("127.0.0.1", "localhost"), "bucket", style=AddressingStyle.PATH
    )
    S3Store(where, KEYS).put_if("HEAD", b"", ABSENT)
    assert wire.received[0].path == "/bucket/HEAD"
    proxied = replace(
        where,
        endpoint="http://s3.example.invalid",
        style=AddressingStyle.VIRTUAL_HOST,
        proxy=Proxy(wire.url),
    )
    S3Store(proxied, KEYS).put_if("HEAD", b"", ABSENT)
    assert wire.received[1].headers["host"] == "bucket.s3.example.invalid"
    assert wire.received[1].path == "http://bucket.s3.example.invalid/HEAD"


def test_a_proxy_of_the_environment_is_not_used(
    wire: Recorder, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    store.put_if("HEAD", b"", ABSENT)
    assert len(wire.received) == 1


def test_a_compressed_body_is_not_decoded(wire: Recorder, store: S3Store) -> None:
    wire.answer = lambda _: PreparedResponse(
        headers={"ETag": "x", "Content-Encoding": "gzip"}, body=b"\x1f\x8bno gzip"
    )
    assert store.get("key").body == b"\x1f\x8bno gzip"


@pytest.mark.parametrize("size", [99, 100, 101, 10_000_000])
def test_an_object_is_read_up_to_its_limit(wire: Recorder, store: S3Store, size: int) -> None:
    wire.answer = lambda _: PreparedResponse(headers={"ETag": "x"}, body=bytes(size))
    if size <= 100:
        assert len(store.get("key", 100).body) == size
        return
    with pytest.raises(DamagedError, match="key has more than 100 bytes"):
        store.get("key", 100)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP", "gzip, gzip", "br", ""])
@pytest.mark.parametrize("status", [403, 500, 404, 200])
def test_a_small_body_that_unpacks_to_a_large_one_costs_little_memory(
    wire: Recorder, store: S3Store, encoding: str, status: int
) -> None:
    bomb = gzip.compress(bytes(256 << 20), 1)
    headers = {"Content-Encoding": encoding, "ETag": "x"}
    wire.answer = lambda _: PreparedResponse(status, headers, bomb)
    tracemalloc.start()
    try:
        for request in (
            lambda: store.get("key", 1 << 20),
            lambda: list(store.list("")),
            lambda: store.delete(["key"]),
            lambda: store.get_range("key", 0, 10_000_000),
        ):
            with pytest.raises((StoreError, DamagedError)):
                request()
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("deflate", 15)])
def test_a_compressed_error_is_understood(
    wire: Recorder, store: S3Store, encoding: str, wbits: int
) -> None:
    compressor = zlib.compressobj(wbits=wbits)
    body = compressor.compress(b"<Error><Code>SlowDown</Code></Error>") + compressor.flush()
    wire.answer = lambda _: PreparedResponse(400, {"Content-Encoding": encoding}, body)
    with pytest.raises(StoreAwayError, match="SlowDown"):
        store.get("HEAD")


def test_a_server_without_ranges_is_supported(wire: Recorder, store: S3Store) -> None:
    wire.answer = lambda _: PreparedResponse(headers={"ETag": "x"}, body=b"0123456789")
    assert store.get_range("key", 3, 4) == b"3456"


def test_a_404_of_another_server_is_not_a_missing_object(wire: Recorder, store: S3Store) -> None:
    wire.answer = lambda _: PreparedResponse(
        404, {"Content-Type": "text/html"}, b"<html>nothing here"
    )
    with pytest.raises(StoreError, match="does not speak S3") as caught:
        store.get("HEAD")
    assert type(caught.value) is UnexpectedResponseError


def test_no_secret_is_in_an_error_even_if_the_server_repeats_it(
    wire: Recorder, store: S3Store
) -> None:
    body = b"<Error><Code>Odd</Code><Message>got very-secret session-token</Message></Error>"
    wire.answer = lambda _: PreparedResponse(403, {"Content-Type": "application/xml"}, body)
    with pytest.raises(DeniedError) as caught:
        store.get("HEAD")
    assert "Odd" in str(caught.value)
    assert "very-secret" not in str(caught.value)
    assert "session-token" not in str(caught.value)
    assert "very-secret" not in repr(KEYS)


def test_without_multi_object_delete_each_object_is_deleted(wire: Recorder, store: S3Store) -> None:
    body = b"<Error><Code>NotImplemented</Code></Error>"
    wire.answer = lambda asked: (
        PreparedResponse(501, body=body) if asked.method == "POST" else PreparedResponse(204)
    )
    store.delete(["a", "b"])
    store.delete(["c"])
    assert [(each.method, each.path) for each in wire.received] == [
        ("POST", "/bucket?delete="),
        ("DELETE", "/bucket/team/one/a"),
        ("DELETE", "/bucket/team/one/b"),
        ("DELETE", "/bucket/team/one/c"),
    ]


def test_a_refused_connection_is_reported_with_the_address() -> None:
    [port] = ports.free(1)
    store = S3Store(StoreLocation(f"http://127.0.0.1:{port}", "bucket"), KEYS)
    with pytest.raises(StoreAwayError, match=f"cannot connect to http://127.0.0.1:{port}: Conn"):
        store.get("HEAD")


def test_a_name_that_cannot_be_resolved_is_reported() -> None:
    store = S3Store(StoreLocation("http://store.invalid", "bucket"), KEYS)
    with pytest.raises(StoreAwayError, match=r"store\.invalid cannot be resolved"):
        store.get("HEAD")


def test_a_server_that_sends_nothing_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", ports.free(1)[0])) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = S3Store(StoreLocation(url, "bucket", timeouts=Timeouts(connect=5, read=0.05)), KEYS)
        with pytest.raises(StoreAwayError, match=r"no data from .* for 0\.05 s"):
            store.get("HEAD")


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return authority


@pytest.fixture
def secured(authority: trustme.CA) -> Iterator[Recorder]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with recorder.running(context) as running:
        yield running


def test_a_given_certificate_authority_is_trusted(secured: Recorder, tmp_path: Path) -> None:
    where = StoreLocation(secured.url, "bucket", ca_file=str(tmp_path / "ca.pem"))
    assert S3Store(where, KEYS).put_if("HEAD", b"", ABSENT) == "0123"


def test_an_unknown_certificate_authority_is_a_permanent_error(secured: Recorder) -> None:
    with pytest.raises(
        StoreError, match=r"not trusted.*the public certificate authorities"
    ) as caught:
        S3Store(StoreLocation(secured.url, "bucket"), KEYS).get("HEAD")
    assert not isinstance(caught.value, StoreAwayError)
    assert secured.received == []


def test_a_server_without_tls_is_a_permanent_error(wire: Recorder) -> None:
    where = StoreLocation(wire.url.replace("http:", "https:"), "bucket")
    with pytest.raises(StoreError, match="write http:// if that is intended") as caught:
        S3Store(where, KEYS).get("HEAD")
    assert not isinstance(caught.value, StoreAwayError)


def test_a_login_of_the_proxy_is_sent_and_never_shown(wire: Recorder) -> None:
    proxy = Proxy(wire.url, "user:p@ssword-of-proxy")
    where = StoreLocation("http://s3.example.invalid", "bucket", proxy=proxy)
    S3Store(where, KEYS).put_if("HEAD", b"", ABSENT)
    sent = wire.received[0].headers["proxy-authorization"]
    assert sent == "Basic dXNlcjpwQHNzd29yZC1vZi1wcm94eQ=="
    body = f"<Error><Code>{sent}</Code><Message>{proxy.login}</Message></Error>".encode()
    wire.answer = lambda _: PreparedResponse(403, {"Content-Type": "application/xml"}, body)
    [port] = ports.free(1)
    closed = replace(where, proxy=Proxy(f"http://127.0.0.1:{port}", proxy.login))
    for location in (where, closed):
        with pytest.raises(StoreError) as caught:
            S3Store(location, KEYS).get("HEAD")
        shown = f"{caught.value} {caught.value.__cause__} {location}"
        assert "p@ssword" not in shown
        assert "dXNlcjpw" not in shown


def test_a_value_that_no_header_may_have_is_reported_without_it(wire: Recorder) -> None:
    keys = StaticCredentials(AccessKeys("AKIA", "secret", "tok\nen-of-the-session"))
    with pytest.raises(StoreError, match="cannot be sent") as caught:
        S3Store(StoreLocation(wire.url, "bucket"), keys).get("HEAD")
    assert "en-of-the" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("request_", ["get", "put", "put_if"])
def test_a_temporary_redirect_to_the_same_host_is_followed_with_method_and_body(
    wire: Recorder, store: S3Store, request_: str
) -> None:
    error = b"<Error><Code>TemporaryRedirect</Code></Error>"

    def answer(received: recorder.Received) -> PreparedResponse:
        if len(wire.received) > 1:
            return PreparedResponse(200, {"ETag": "e"}, b"")
        return PreparedResponse(307, {"Location": wire.url + received.path}, error)

    wire.answer = answer
    {
        "get": lambda: store.get("key"),
        "put": lambda: store.put("key", [b"one", b"two"], hashlib.sha256(b"onetwo").hexdigest()),
        "put_if": lambda: store.put_if("key", b"onetwo", ABSENT),
    }[request_]()
    first, second = wire.received
    assert (first.method, first.path, first.body) == (second.method, second.path, second.body)


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/bucket/key", "", "http://[::1"])
def test_a_temporary_redirect_to_another_host_may_pass_and_gets_no_keys(
    wire: Recorder, store: S3Store, location: str
) -> None:
    error = b"<Error><Code>TemporaryRedirect</Code></Error>"
    wire.answer = lambda _: PreparedResponse(307, {"Location": location}, error)
    with pytest.raises(StoreAwayError, match="redirects"):
        store.get("key")
    assert len(wire.received) == 1


def test_a_redirect_without_end_may_pass(wire: Recorder, store: S3Store) -> None:
    error = b"<Error><Code>TemporaryRedirect</Code></Error>"
    wire.answer = lambda received: PreparedResponse(
        307, {"Location": wire.url + received.path}, error
    )
    with pytest.raises(StoreAwayError, match="redirects"):
        store.put_if("key", b"", ABSENT)
    assert len(wire.received) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required"),
        ("InvalidRequest", "Missing required header for this request: Content-MD5"),
        ("MissingContentMD5", "Missing required header"),
    ],
)
def test_a_bucket_with_a_retention_gets_a_checksum_with_each_write(
    wire: Recorder, store: S3Store, code: str, message: str
) -> None:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    wire.answer = lambda received: (
        PreparedResponse(200, {"ETag": "e"})
        if "content-md5" in received.headers
        else PreparedResponse(400, {}, body)
    )
    store.put_if("HEAD", b"onetwo", ABSENT)
    store.put("pack", [b"one", b"two"], hashlib.sha256(b"onetwo").hexdigest())
    refused, *written = wire.received
    assert "content-md5" not in refused.headers
    assert len(written) == 2
    for received in written:
        md5 = hashlib.md5(b"onetwo", usedforsecurity=False).digest()
        assert received.headers["content-md5"] == b64encode(md5).decode()
        assert "content-md5" in received.headers["authorization"]


def test_another_invalid_request_is_not_repeated(wire: Recorder, store: S3Store) -> None:
    wire.answer = lambda _: PreparedResponse(
        400, {}, b"<Error><Code>InvalidRequest</Code><Message>No</Message></Error>"
    )
    with pytest.raises(StoreError, match="InvalidRequest: No"):
        store.put_if("HEAD", b"", ABSENT)
    assert len(wire.received) == 1


PAGE = b"<html><body>Please log in</body></html>"


@pytest.mark.parametrize("status", [200, 204, 206])
def test_the_page_of_a_proxy_is_neither_an_object_nor_a_confirmation(
    wire: Recorder, store: S3Store, status: int
) -> None:
    wire.answer = lambda _: PreparedResponse(status, {}, b"" if status == 204 else PAGE)
    for request in (
        lambda: store.get("key"),
        lambda: store.get_into("key", MemorySink(memoryview(bytearray(100)))),
        lambda: store.get_range("key", 0, 4),
        lambda: store.put("key", [], EMPTY_SHA256),
        lambda: store.put_if("key", b"", ABSENT),
        lambda: list(store.list("")),
        lambda: store.delete(["key"]),
    ):
        with pytest.raises(StoreAwayError):
            request()


def listing(keys: str, token: str = "") -> bytes:
    contents = "".join(f"<Contents><Key>team/one/{key}</Key></Contents>" for key in keys)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    truncated = f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>"
    name = "<Name>bucket</Name>"
    return f"<ListBucketResult>{name}{contents}{truncated}{more}</ListBucketResult>".encode()


@pytest.mark.parametrize(
    ("pages", "after", "error"),
    [
        ([("ab", "1"), ("cb", "")], "", "order"),
        ([("ba", "")], "", "order"),
        ([("ab", "1"), ("ab", "2")], "", "order"),
        ([("ab", "")], "c", "order"),
        ([("a", "1"), ("a", "1")], "", "does not end"),
        ([("", "1"), ("b", "2"), ("", "1")], "", "does not end"),
    ],
)
def test_a_listing_that_goes_back_is_refused(
    wire: Recorder, store: S3Store, pages: list[tuple[str, str]], after: str, error: str
) -> None:
    bodies = iter(pages)
    wire.answer = lambda _: PreparedResponse(200, {}, listing(*next(bodies)))
    with pytest.raises(StoreAwayError, match=error):
        list(store.list("", after))


def test_a_key_that_is_listed_twice_is_one_object(wire: Recorder, store: S3Store) -> None:
    bodies = iter([("ab", "1"), ("bbc", "")])
    wire.answer = lambda _: PreparedResponse(200, {}, listing(*next(bodies)))
    assert [each.key for each in store.list("")] == ["a", "b", "c"]


def test_another_part_of_an_object_than_requested_is_refused(
    wire: Recorder, store: S3Store
) -> None:
    headers = {"ETag": "e", "Content-Range": "bytes 0-3/10"}
    wire.answer = lambda _: PreparedResponse(206, headers, b"0123")
    assert store.get_range("key", 0, 4) == b"0123"
    with pytest.raises(UnexpectedResponseError, match="another part of key"):
        store.get_range("key", 4, 4)


def test_a_listing_that_returns_a_page_again_ends(wire: Recorder, store: S3Store) -> None:
    page = (
        b"<ListBucketResult><Name>b</Name><IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>1</NextContinuationToken></ListBucketResult>"
    )
    wire.answer = lambda _: PreparedResponse(body=page)
    with pytest.raises(StoreError, match="names a page again"):
        list(store.list("gc/"))
    assert len(wire.received) == 2


def test_a_listing_without_an_end_ends(
    wire: Recorder, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def page(_received: object) -> PreparedResponse:
        return PreparedResponse(
            body=f"<ListBucketResult><Name>b</Name><IsTruncated>true</IsTruncated>"
            f"<NextContinuationToken>{len(wire.received)}</NextContinuationToken>"
            f"</ListBucketResult>".encode()
        )

    wire.answer = page
    monkeypatch.setattr(s3, "MAX_PAGES", 7)
    with pytest.raises(StoreError, match="more than 7 pages"):
        list(store.list("gc/"))
    assert len(wire.received) == 7
