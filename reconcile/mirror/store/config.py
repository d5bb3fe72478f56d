"""The storage of a session, parsed from the mounted Secrets: endpoint, bucket, region, keys.

A session uses either its project's own storage or the shared one. A value that is missing in the
chosen Secret is an error that names it; the other Secret never replaces it. Pure.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from reconcile.mirror.errors import SettingsError


class AddressingStyle(Enum):
    """Whether the bucket is in the host name or in the path of requests."""

    AUTO = "auto"
    """In the host name for AWS and Alibaba Cloud, otherwise in the path."""
    PATH = "path"
    VIRTUAL_HOST = "virtual-host"


class Timeouts(Struct, frozen=True):
    """How long a request may wait, in seconds: for a connection, and for each read."""

    connect: float = 10.0
    read: float = 60.0


class StoreLocation(Struct, frozen=True):
    """One prefix of one bucket at one endpoint.

    Attributes:
        endpoint: `https://host[:port]` or `http://host[:port]`.
        bucket: Name of the bucket.
        prefix: Ends with `/`, or is empty.
        region: Region for which requests are signed; most servers other than AWS accept
            `us-east-1`.
        style: Whether the bucket is in the host name or in the path.
        ca_file: PEM file of the certificate authorities to trust; empty means the public ones.
        proxy: `http://host:port`; never taken from the environment.
        connections: How many requests run at a time without waiting for a connection.
        timeouts: Time limits of one request.
    """

    endpoint: str
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    style: AddressingStyle = AddressingStyle.AUTO
    ca_file: str = ""
    proxy: str = ""
    connections: int = 16
    timeouts: Timeouts = Timeouts()


class AccessKeys(Struct, frozen=True):
    """Keys that sign requests; `session_token` belongs to temporary keys, otherwise it is empty."""

    access_key: str
    secret_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return "AccessKeys(…)"


class CredentialsProvider(Protocol):
    """Provides the current keys; safe for many threads.

    Both methods raise SettingsError if a key is missing, and a StoreError if STS issues no keys.
    """

    def get_keys(self) -> AccessKeys:
        """Return the current keys; cheap, called for each request."""
        ...

    def refresh(self, rejected: AccessKeys) -> AccessKeys:
        """Return newer keys after the store has refused these; the same if there are none."""
        ...


MODE_SETTING = "STORAGE_MODE"
REQUIRED_SETTINGS = ("S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY")
SecretValues: TypeAlias = Mapping[str, str]


class StorageMode(Enum):
    """Whether the session uses the shared storage or that of its project."""

    SHARED = "shared"
    CUSTOM = "custom"


class StaticKeyAuth(Struct, frozen=True):
    """The keys are in the Secret."""


class WebIdentityAuth(Struct, frozen=True):
    """The pod's service account token is exchanged for keys at this STS endpoint."""

    role_arn: str
    sts_endpoint: str


AuthMethod: TypeAlias = StaticKeyAuth | WebIdentityAuth


class StorageConfig(Struct, frozen=True):
    """A store and how to authenticate to it; the caller sets the location's prefix and CA file."""

    location: StoreLocation
    auth: AuthMethod


def parse_storage_mode(values: SecretValues) -> StorageMode:
    """Return the storage mode that the project's Secret selects.

    Raises:
        SettingsError: The mode is unknown, or it is missing although the Secret defines a storage.
    """
    mode = values.get(MODE_SETTING, "")
    if mode:
        try:
            return StorageMode(mode)
        except ValueError:
            raise SettingsError(f"{MODE_SETTING} is `{mode}`: write `shared` or `custom`") from None
    own = [name for name in REQUIRED_SETTINGS if values.get(name)]
    if own:
        raise SettingsError(
            f"the project's Secret has {', '.join(own)} but no {MODE_SETTING}: write `custom` to "
            "use them, or `shared` to ignore them"
        )
    return StorageMode.SHARED


def parse_storage_config(values: SecretValues, *, web_identity: bool) -> StorageConfig:
    """Parse the values of the chosen Secret.

    Args:
        values: The values by name.
        web_identity: Whether the pod has a token to exchange; then keys are not required, and are
            ignored.

    Raises:
        SettingsError: A value is missing or invalid; the error names all missing values.
    """
    keys = () if web_identity else ("S3_ACCESS_KEY", "S3_SECRET_KEY")
    missing = [name for name in ("S3_ENDPOINT", "S3_BUCKET", *keys) if not values.get(name)]
    if missing:
        raise SettingsError(
            f"{', '.join(missing)} missing or empty in the Secret of the chosen storage; no "
            "value of another Secret is used instead"
        )
    endpoint = _parse_endpoint("S3_ENDPOINT", values["S3_ENDPOINT"])
    location = StoreLocation(
        endpoint=endpoint,
        bucket=_check_bucket_name(values["S3_BUCKET"]),
        region=values.get("S3_REGION") or _guess_region(endpoint),
        style=_parse_style(values.get("S3_STYLE") or "auto"),
        proxy=values.get("S3_PROXY", ""),
    )
    return StorageConfig(
        location, _parse_auth(values, location) if web_identity else StaticKeyAuth()
    )


def _parse_auth(values: SecretValues, location: StoreLocation) -> AuthMethod:
    sts_endpoint = values.get("S3_STS_ENDPOINT", "")
    if sts_endpoint:
        sts_endpoint = _parse_endpoint("S3_STS_ENDPOINT", sts_endpoint)
    elif _is_aws(location.endpoint):
        sts_endpoint = f"https://sts.{location.region}.amazonaws.com"
    else:
        sts_endpoint = location.endpoint
    return WebIdentityAuth(values.get("S3_ROLE_ARN", ""), sts_endpoint)


_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _parse_endpoint(name: str, text: str) -> str:
    """Accept an endpoint with or without a scheme or a trailing slash."""
    url = urlsplit(text if "://" in text else f"https://{text}")
    try:
        port = url.port
    except ValueError:
        port = -1
    extra = url.path.strip("/") or url.query or url.fragment or url.username
    if url.scheme not in {"http", "https"} or not url.hostname or extra or port == -1:
        raise SettingsError(
            f"{name} must be like https://host or http://host:9000, without path, user or query"
        )
    # minio removes the default port too, but with it the brackets of an IPv6 address.
    host = url.netloc.removesuffix(_DEFAULT_PORTS[url.scheme])
    return f"{url.scheme}://{host}"


def _check_bucket_name(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,61}[a-zA-Z0-9]", text):
        raise SettingsError(f"S3_BUCKET is `{text}`, which is not a valid bucket name")
    return text


def _parse_style(text: str) -> AddressingStyle:
    try:
        return AddressingStyle(text)
    except ValueError:
        styles = ", ".join(each.value for each in AddressingStyle)
        raise SettingsError(f"S3_STYLE is `{text}`: write one of {styles}") from None


def _is_aws(endpoint: str) -> bool:
    return bool(re.search(r"\.amazonaws\.com(\.cn)?(:\d+)?$", endpoint))


def _guess_region(endpoint: str) -> str:
    match = re.search(r"//s3[.-]([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com", endpoint)
    return match[1] if match else "us-east-1"
