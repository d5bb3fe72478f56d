"""The URLs of requests: the host that the endpoint names, and the bucket before it or in the path.

minio builds no URL here: it replaces the host of some endpoints of AWS by another. Pure.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Final, assert_never
from urllib.parse import SplitResult, urlsplit

from minio.helpers import queryencode, quote
from msgspec import Struct

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.store.aws_hosts import parse_aws_host
from reconcile.mirror.store.config import AddressingStyle, StoreLocation

_HOST_NAME_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]")


class BucketUrl(Struct, frozen=True):
    """Where the objects of a bucket are: host, and the path before their keys."""

    scheme: str
    netloc: str
    path: str

    def build(self, key: str, query: Mapping[str, str]) -> SplitResult:
        """Return the URL of an object, or of the bucket if the key is empty."""
        path = f"{self.path}/{quote(key)}" if key else self.path or "/"
        parameters = sorted(query.items())
        text = "&".join(f"{queryencode(name)}={queryencode(value)}" for name, value in parameters)
        return SplitResult(self.scheme, self.netloc, path, text, "")


def locate_bucket(location: StoreLocation) -> BucketUrl:
    """Return where the bucket is.

    Raises:
        SettingsError: The endpoint, the style and the bucket do not fit together.
    """
    endpoint = urlsplit(location.endpoint)
    if _is_in_endpoint(location, endpoint):
        return BucketUrl(endpoint.scheme, endpoint.netloc, "")
    if _is_virtual_host(location, endpoint):
        return BucketUrl(endpoint.scheme, f"{location.bucket}.{endpoint.netloc}", "")
    return BucketUrl(endpoint.scheme, endpoint.netloc, f"/{location.bucket}")


def _is_in_endpoint(location: StoreLocation, endpoint: SplitResult) -> bool:
    """Say whether the host of the endpoint already belongs to the bucket or an access point."""
    aws = parse_aws_host(endpoint.hostname or "")
    if aws is None or not aws.owner:
        return False
    if aws.owner == location.bucket or aws.names_access_point or aws.vpc_kind == "accesspoint":
        return True
    raise SettingsError(
        "S3_ENDPOINT has the name of another bucket than S3_BUCKET: write the endpoint without a "
        f"bucket, such as https://s3.{aws.default_region}.{aws.domain}"
    )


def _is_virtual_host(location: StoreLocation, endpoint: SplitResult) -> bool:
    host = endpoint.hostname or ""
    aws = parse_aws_host(host)
    fits = _fits_into_host(location.bucket, endpoint.scheme)
    if aws is not None and aws.is_accelerated:
        if location.style is AddressingStyle.PATH or "." in location.bucket or not fits:
            raise SettingsError(
                "S3_ENDPOINT is that of transfer acceleration, which needs the bucket in the host "
                "name: S3_BUCKET must have no dots, and S3_STYLE must not be `path`"
            )
        return True
    match location.style:
        case AddressingStyle.PATH:
            return False
        case AddressingStyle.VIRTUAL_HOST:
            _refuse_address(host)
            return fits
        case AddressingStyle.AUTO:
            is_usual = host.endswith(".aliyuncs.com") or (
                aws is not None and aws.vpc_kind != "bucket"
            )
            return is_usual and fits
        case _:
            assert_never(location.style)


def _fits_into_host(bucket: str, scheme: str) -> bool:
    """Say whether a certificate, and the name service, allow the bucket before the host."""
    return bool(_HOST_NAME_BUCKET.fullmatch(bucket)) and not ("." in bucket and scheme == "https")


def _refuse_address(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    raise SettingsError(
        "S3_STYLE cannot be `virtual-host`, since S3_ENDPOINT has an IP address: write `path`"
    )


def follow_redirect(location: StoreLocation, url: SplitResult, target: str) -> SplitResult | None:
    """Return the URL to which a temporary redirect leads; None if it must not be followed.

    A request has our signature and session token, so it only goes to the same host again, or to
    another host of AWS that belongs to the same bucket. The path and the query stay ours.
    """
    try:
        other = urlsplit(target)
        host, port = other.hostname or "", other.port
    except ValueError:
        return None
    if (other.scheme, other.netloc.lower()) == (url.scheme, url.netloc.lower()):
        return url
    ours, theirs = parse_aws_host(url.hostname or ""), parse_aws_host(host)
    if ours is None or theirs is None or port not in {None, 443} or other.scheme != "https":
        return None
    if not theirs.is_for_objects or theirs.domain != ours.domain:
        return None
    if not ours.owner == theirs.owner == location.bucket:
        return None
    return url._replace(scheme="https", netloc=host)


def region_of_host(url: SplitResult, default: str) -> str:
    """Return the region for which a request to this URL is signed."""
    aws = parse_aws_host(url.hostname or "")
    return aws.region or default if aws is not None else default
