"""Where a request goes: the host, and the path of a key."""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from msgspec import Struct

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.store.location import Location, Style

_PROVIDERS = re.compile(r"\.(amazonaws\.com(\.cn)?|aliyuncs\.com)$")
"""Whose host names have rules of their own, which minio-py knows."""


class Address(Struct, frozen=True):
    """A bucket's scheme, its host with the port, and the path in front of keys."""

    scheme: str
    host: str
    path: str

    def of(self, key: str) -> str:
        """Return a key's path, percent-encoded; that of the bucket for an empty key."""
        if not key:
            return self.path or "/"
        return f"{self.path}/{quote(key)}"

    def url(self, path: str, query: str) -> str:
        """Return what HTTP asks for."""
        asked = f"?{query}" if query else ""
        return f"{self.scheme}://{self.host}{path}{asked}"


def address_of(location: Location) -> Address:
    """Tell where a bucket is.

    Raises:
        SettingsError: Endpoint, region and bucket do not go together.
    """
    url = urlsplit(location.endpoint)
    if _PROVIDERS.search(url.hostname or ""):
        return _of_provider(location)
    # A certificate for *.host does not cover a bucket with dots in its name.
    dotted = "." in location.bucket and url.scheme == "https"
    if location.style is Style.VIRTUAL_HOST and not dotted:
        return Address(url.scheme, f"{location.bucket}.{url.netloc}", "")
    return Address(url.scheme, url.netloc, f"/{location.bucket}")


def _of_provider(location: Location) -> Address:
    from minio.helpers import BaseURL

    try:
        base = BaseURL(location.endpoint, location.region)
        if location.style is not Style.AUTO:
            base.virtual_style_flag = location.style is Style.VIRTUAL_HOST
        url = base.build(
            method="GET",
            region=location.region,
            bucket_name=location.bucket,
            object_name="key",
        )
    except ValueError as error:
        raise SettingsError(f"S3_ENDPOINT or S3_REGION makes no sense: {error}") from error
    return Address(url.scheme, url.netloc, url.path.removesuffix("/key"))


def query_of(parameters: Mapping[str, str]) -> str:
    """Return parameters percent-encoded and in the order in which they are signed."""
    pairs = sorted((quote(name, ""), quote(value, "")) for name, value in parameters.items())
    return "&".join(f"{name}={value}" for name, value in pairs)
