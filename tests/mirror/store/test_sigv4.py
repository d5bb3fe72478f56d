"""Every signature and every address, held against minio-py's."""

from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from minio.credentials.credentials import Credentials
from minio.helpers import BaseURL
from minio.signer import sign_v4_s3

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.store.config import AccessKeys, AddressingStyle, StoreLocation
from reconcile.mirror.store.s3_http import encode_query, resolve_address
from reconcile.mirror.store.sigv4 import UnsignedRequest, sign_headers

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
VALUES = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20)
SECRETS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=40)
KEYS = st.builds(AccessKeys, SECRETS, SECRETS, st.sampled_from(["", "token"]))
DIGEST = "ab" * 32
DRAFTS = st.builds(
    UnsignedRequest,
    st.sampled_from(["GET", "PUT", "DELETE", "POST"]),
    st.just("127.0.0.1:9000"),
    TEXT.map(resolve_address(StoreLocation("http://127.0.0.1:9000", "bucket")).key_path),
    st.dictionaries(TEXT.filter(bool), TEXT, max_size=4).map(encode_query),
    st.dictionaries(NAMES.map(lambda name: f"x-{name}"), VALUES, max_size=4),
    st.just(DIGEST),
)
TIMES = st.integers(0, 4_000_000_000)
ENDPOINTS = (
    "http://127.0.0.1:9000",
    "https://s3.example.org",
    "https://s3.eu-west-1.amazonaws.com",
    "https://s3.amazonaws.com",
    "https://s3.dualstack.eu-west-1.amazonaws.com",
    "https://s3.cn-north-1.amazonaws.com.cn",
    "https://oss-cn-hangzhou.aliyuncs.com",
)
BUCKETS = ("sessions", "sessions.of.teams")


def by_minio(draft: UnsignedRequest, keys: AccessKeys, region: str, now: int) -> str:
    date = datetime.fromtimestamp(now, UTC)
    headers: dict[str, str | list[str] | tuple[str]] = {
        "Host": draft.host,
        "x-amz-content-sha256": draft.digest,
        "x-amz-date": date.strftime("%Y%m%dT%H%M%SZ"),
        **draft.headers,
    }
    if keys.session_token:
        headers["x-amz-security-token"] = keys.session_token
    told = sign_v4_s3(
        method=draft.method,
        url=SplitResult("http", draft.host, draft.path, draft.query, ""),
        region=region,
        headers=headers,
        credentials=Credentials(keys.access_key, keys.secret_key, keys.session_token or None),
        content_sha256=draft.digest,
        date=date,
    )
    return str(told["Authorization"])


@given(DRAFTS, KEYS, TIMES)
def test_a_signature_is_that_of_minio(draft, keys, now):
    assert sign_headers(draft, keys, "eu-west-1", now)["Authorization"] == by_minio(
        draft, keys, "eu-west-1", now
    )


def test_the_example_of_amazons_documentation_is_signed_as_it_says():
    keys = AccessKeys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    draft = UnsignedRequest(
        "GET",
        "examplebucket.s3.amazonaws.com",
        "/test.txt",
        "",
        {"Range": "bytes=0-9"},
        empty,
    )
    now = datetime(2013, 5, 24, tzinfo=UTC).timestamp()
    told = sign_headers(draft, keys, "us-east-1", now)["Authorization"]
    assert told.endswith(
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


@given(
    st.sampled_from(ENDPOINTS),
    st.sampled_from(BUCKETS),
    st.sampled_from(AddressingStyle),
    TEXT,
    st.dictionaries(TEXT.filter(bool), TEXT, max_size=3),
)
def test_an_address_is_that_of_minio(endpoint, bucket, style, key, parameters):
    location = StoreLocation(endpoint, bucket, region="eu-west-1", style=style)
    if "amazonaws.com.cn" in endpoint:
        location = StoreLocation(endpoint, bucket, region="cn-north-1", style=style)
    base = BaseURL(endpoint, location.region)
    if style is not AddressingStyle.AUTO:
        base.virtual_style_flag = style is AddressingStyle.VIRTUAL_HOST
    theirs = base.build(
        method="GET",
        region=location.region,
        bucket_name=bucket,
        object_name=key or None,
        query_params=dict(parameters),
    )
    address = resolve_address(location)
    ours = urlsplit(address.url(address.key_path(key), encode_query(parameters)))
    assert (ours.scheme, ours.netloc, ours.path) == theirs[:3]
    assert sorted(ours.query.split("&")) == sorted(theirs.query.split("&"))


def test_an_endpoint_of_amazon_that_minio_refuses_is_said_in_words():
    with pytest.raises(SettingsError, match="S3_ENDPOINT or S3_REGION makes no sense"):
        resolve_address(StoreLocation("https://s3.amazonaws.com", "sessions", region="_no region"))
