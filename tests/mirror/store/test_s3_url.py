"""Requests go to the host that the endpoint names, signed for its region."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.loaders import Loader

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.store.aws_hosts import parse_aws_host
from reconcile.mirror.store.config import StoreLocation, WebIdentityAuth, parse_storage_config
from reconcile.mirror.store.s3_url import follow_redirect, locate_bucket, region_of_host

VPC = "vpce-0123-abc.s3.us-east-2.vpce.amazonaws.com"
VALUES = {"S3_BUCKET": "work"}


def locate(endpoint: str, **values: str) -> tuple[str, str]:
    """Return host and path of the bucket, and the region."""
    location = parse_storage_config(
        VALUES | {"S3_ENDPOINT": endpoint} | values, web_identity=True
    ).location
    bucket = locate_bucket(location)
    return f"{bucket.netloc}{bucket.path}", location.region


def aws_hosts() -> list[tuple[str, str]]:
    """Return every host of S3 in the data of the official client, with its region."""
    services: list[dict[str, Any]] = [
        {"domain": partition["dnsSuffix"]} | partition["services"]["s3"]["endpoints"]
        for partition in Loader().load_data("endpoints")["partitions"]
    ]
    return sorted(
        (entry["hostname"], region.removeprefix("fips-"))
        for service in services
        for region, endpoint in service.items()
        if isinstance(endpoint, dict)
        for entry in (endpoint, *endpoint.get("variants", []))
        if "hostname" in entry and region not in {"aws-global", "s3-external-1"}
    )


@pytest.mark.parametrize(("host", "region"), aws_hosts())
def test_every_host_that_the_official_client_knows_is_used_as_it_is(host: str, region: str) -> None:
    expected = region if host == f"s3.{region}.amazonaws.com" or region in host else "us-east-1"
    if host != "s3.amazonaws.com":
        assert locate(f"https://{host}") == (f"work.{host}", expected)


@pytest.mark.parametrize(
    ("endpoint", "where", "region"),
    [
        ("s3-us-west-2.amazonaws.com", "work.s3-us-west-2.amazonaws.com", "us-west-2"),
        ("s3-fips-us-gov-west-1.amazonaws.com", "work.{}", "us-gov-west-1"),
        ("S3.US-WEST-2.amazonaws.com:443", "work.S3.US-WEST-2.amazonaws.com", "us-west-2"),
        ("s3.amazonaws.com", "work.s3.amazonaws.com", "us-east-1"),
        ("s3.amazonaws.com.cn", "work.s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("s3-accelerate.amazonaws.com/", "work.s3-accelerate.amazonaws.com", "us-east-1"),
        ("s3-accelerate.dualstack.amazonaws.com", "work.{}", "us-east-1"),
        (f"bucket.{VPC}", f"bucket.{VPC}/work", "us-east-2"),
        (f"accesspoint.{VPC}", f"work.accesspoint.{VPC}", "us-east-2"),
        (f"work.bucket.{VPC}", f"work.bucket.{VPC}", "us-east-2"),
        ("work.s3.eu-west-1.amazonaws.com", "{}", "eu-west-1"),
        ("mine-1234.s3-accesspoint.us-west-2.amazonaws.com", "{}", "us-west-2"),
        ("s3-accesspoint.dualstack.us-west-2.amazonaws.com", "work.{}", "us-west-2"),
        ("s3.eusc-de-east-1.amazonaws.eu", "work.{}", "eusc-de-east-1"),
        ("minio.elb.amazonaws.com", "{}/work", "us-east-1"),
        ("[::1]:9000", "[::1]:9000/work", "us-east-1"),
        ("http://minio:9000/", "minio:9000/work", "us-east-1"),
    ],
)
def test_an_endpoint_names_host_bucket_and_region(endpoint: str, where: str, region: str) -> None:
    assert locate(endpoint) == (where.format(endpoint), region)


def test_the_name_without_a_region_is_not_used_for_another_region() -> None:
    assert locate("s3.amazonaws.com", S3_REGION="eu-west-1") == (
        "work.s3.eu-west-1.amazonaws.com",
        "eu-west-1",
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"S3_ENDPOINT": "s3-website-us-east-1.amazonaws.com"}, "S3_ENDPOINT is not an endpoint"),
        ({"S3_ENDPOINT": f"control.{VPC}"}, "S3_ENDPOINT is not an endpoint"),
        ({"S3_ENDPOINT": "other.s3.us-west-2.amazonaws.com"}, "S3_ENDPOINT has the name of ano"),
        ({"S3_ENDPOINT": "s3-accelerate.amazonaws.com", "S3_BUCKET": "a.b"}, "S3_BUCKET must"),
        ({"S3_ENDPOINT": "s3.eu-west-1.amazonaws.com", "S3_REGION": "eu-west-2"}, "^S3_REGION is"),
        ({"S3_ENDPOINT": "10.0.0.1", "S3_STYLE": "virtual-host"}, "^S3_STYLE cannot be"),
    ],
)
def test_settings_that_do_not_fit_together_are_reported(
    values: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        locate_bucket(parse_storage_config(VALUES | values, web_identity=True).location)


@pytest.mark.parametrize(
    ("endpoint", "sts"),
    [
        ("s3.cn-north-1.amazonaws.com.cn", "https://sts.cn-north-1.amazonaws.com.cn"),
        ("s3.dualstack.us-gov-west-1.amazonaws.com", "https://sts.us-gov-west-1.amazonaws.com"),
        ("s3-fips.us-east-2.amazonaws.com", "https://sts.us-east-2.amazonaws.com"),
        (f"bucket.{VPC}", "https://sts.us-east-2.amazonaws.com"),
        ("s3.us-iso-east-1.c2s.ic.gov", "https://sts.us-iso-east-1.c2s.ic.gov"),
        ("x.elb.amazonaws.com", "https://x.elb.amazonaws.com"),
    ],
)
def test_the_token_goes_to_the_sts_of_the_same_partition(endpoint: str, sts: str) -> None:
    config = parse_storage_config(VALUES | {"S3_ENDPOINT": endpoint}, web_identity=True)
    assert config.auth == WebIdentityAuth("", sts)


AWS = StoreLocation("https://s3.amazonaws.com", "work", region="eu-west-1")


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("https://work.s3.amazonaws.com/k", "work.s3.amazonaws.com"),
        ("https://work.s3-eu-west-1.amazonaws.com/k", "work.s3-eu-west-1.amazonaws.com"),
        ("https://work.s3.eu-west-1.amazonaws.com/other?x", "work.s3.eu-west-1.amazonaws.com"),
        ("http://work.s3.eu-west-1.amazonaws.com/k", ""),
        ("https://evil.s3.eu-west-1.amazonaws.com/k", ""),
        ("https://work.s3.eu-west-1.amazonaws.com.evil.example/k", ""),
        ("https://work.s3.cn-north-1.amazonaws.com.cn/k", ""),
        ("https://user@work.s3.eu-west-1.amazonaws.com:8443/k", ""),
        ("https://evil.example/work.s3.amazonaws.com", ""),
        ("//work.s3.amazonaws.com/k", ""),
        ("https://[::1", ""),
    ],
)
def test_a_redirect_is_only_followed_to_the_same_bucket_at_the_same_provider(
    target: str, host: str
) -> None:
    url = urlsplit("https://work.s3.amazonaws.com/k?list-type=2")
    followed = follow_redirect(AWS, url, target)
    assert (followed.netloc if followed else "") == host
    if followed:
        assert (followed.path, followed.query) == (url.path, url.query)
        assert region_of_host(followed, "eu-west-1") == "eu-west-1"


def test_another_store_redirects_only_to_itself() -> None:
    location = StoreLocation("http://minio:9000", "work")
    url = urlsplit("http://minio:9000/work/k")
    assert follow_redirect(location, url, "http://minio:9000/work/k?x") == url
    for target in ("http://minio:9001/work/k", "https://minio:9000/k", "http://other:9000/work/k"):
        assert follow_redirect(location, url, target) is None


def test_a_host_of_another_service_is_not_one_of_s3() -> None:
    assert parse_aws_host("s3.amazonaws.com.evil.example") is None
    assert parse_aws_host("ec2.us-east-1.amazonaws.com") is None
