"""URLs for each kind of endpoint, and signatures that a server checks with code of its own."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.mirror.server import running
from bench.mirror.signatures import compute_signature
from reconcile.mirror.errors import MissingObjectError
from reconcile.mirror.store.config import AccessKeys, AddressingStyle, Proxy, StoreLocation
from reconcile.mirror.store.port import ABSENT
from reconcile.mirror.store.s3 import S3Store
from reconcile.mirror.store.s3_http import S3Client, S3Request
from reconcile.mirror.store.s3_url import locate_bucket
from tests.s3 import recorder
from tests.s3.access import StaticCredentials

AUTO, PATH, HOST = AddressingStyle.AUTO, AddressingStyle.PATH, AddressingStyle.VIRTUAL_HOST
KEYS = StaticCredentials(AccessKeys("access", "secret", "token"))
# urllib3 removes the segments `.` and `..` from a URL; no key of the mirror has them.
OBJECT_KEYS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20
).filter(lambda key: not {".", ".."} & set(key.split("/")))


def requested_url(location, key):
    """Return the URL that a proxy receives."""
    with recorder.running() as proxy:
        request = S3Request("GET", "s3:GetObject", key)
        S3Client(replace(location, proxy=Proxy(proxy.url)), KEYS).fetch(request)
        [received] = proxy.received
    assert received.path.startswith(f"http://{received.headers['host']}/")
    return received.path


@pytest.mark.parametrize(
    ("endpoint", "region", "style", "url"),
    [
        ("http://127.0.0.1:9000", "us-east-1", AUTO, "http://127.0.0.1:9000/work"),
        ("http://[::1]:9000", "us-east-1", AUTO, "http://[::1]:9000/work"),
        ("http://s3.example.org", "us-east-1", PATH, "http://s3.example.org/work"),
        ("http://s3.example.org", "us-east-1", HOST, "http://work.s3.example.org"),
        (
            "http://s3.amazonaws.com",
            "eu-west-1",
            AUTO,
            "http://work.s3.amazonaws.com",
        ),
        (
            "http://s3.eu-west-1.amazonaws.com",
            "eu-west-1",
            PATH,
            "http://s3.eu-west-1.amazonaws.com/work",
        ),
        (
            "http://s3.dualstack.eu-west-1.amazonaws.com",
            "eu-west-1",
            AUTO,
            "http://work.s3.dualstack.eu-west-1.amazonaws.com",
        ),
        (
            "http://s3.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
            AUTO,
            "http://work.s3.cn-north-1.amazonaws.com.cn",
        ),
        (
            "http://oss-cn-hangzhou.aliyuncs.com",
            "cn-hangzhou",
            AUTO,
            "http://work.oss-cn-hangzhou.aliyuncs.com",
        ),
    ],
)
def test_an_object_has_the_url_of_its_endpoint_and_style(endpoint, region, style, url):
    location = StoreLocation(endpoint, "work", region=region, style=style)
    assert requested_url(location, "team/one two+~/é") == f"{url}/team/one%20two%2B~/%C3%A9"


@pytest.mark.parametrize("style", AddressingStyle)
def test_a_bucket_with_dots_is_in_the_path_because_of_the_certificate(style):
    location = StoreLocation("https://s3.eu-west-1.amazonaws.com", "a.b", "", "eu-west-1", style)
    url = locate_bucket(location).build("key", {})
    assert url.geturl() == "https://s3.eu-west-1.amazonaws.com/a.b/key"


@pytest.fixture(scope="module")
def checked_store(tmp_path_factory):
    """A prefix on a server that checks signatures without minio."""
    with running("memory", tmp_path_factory.mktemp("memory")) as server:
        location = server.access.location(server.bucket(), "ns/s/")
        yield S3Store(location, server.access.credentials)


@given(OBJECT_KEYS, st.binary(max_size=10))
@settings(max_examples=50, deadline=None)
def test_the_signatures_of_all_requests_are_accepted(checked_store, key, body):
    checked_store.put_if(key, body, ABSENT)
    assert checked_store.get(key).body == body
    assert [each.key for each in checked_store.list(key)] == [key]
    checked_store.delete([key])
    with pytest.raises(MissingObjectError):
        checked_store.get_range(key, 0, 1)


def test_the_server_computes_the_signature_in_the_documentation_of_aws():
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    time = datetime(2013, 5, 24, tzinfo=UTC).strftime("%Y%m%dT%H%M%SZ")
    canonical = "\n".join(
        (
            "GET",
            "/test.txt",
            "",
            "host:examplebucket.s3.amazonaws.com",
            "range:bytes=0-9",
            f"x-amz-content-sha256:{empty}",
            f"x-amz-date:{time}",
            "",
            "host;range;x-amz-content-sha256;x-amz-date",
            empty,
        )
    )
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    assert (
        compute_signature(secret, time, "us-east-1", canonical.encode())
        == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )
