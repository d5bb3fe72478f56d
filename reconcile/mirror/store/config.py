"""Which storage a session uses, from the Secrets that are mounted: the project's own or the shared.

One never stands in for the other: what is missing in the chosen one is an error that names it.
Pure.

Where a store is, as values: endpoint, bucket, prefix, and how to speak with it.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from reconcile.mirror.errors import SettingsError


class AddressingStyle(Enum):
    """Where requests name the bucket."""

    AUTO = "auto"
    """In the host for AWS, in the path for everybody else."""
    PATH = "path"
    VIRTUAL_HOST = "virtual-host"


class Timeouts(Struct, frozen=True):
    """How long one request may wait, in seconds: for a connection, and for each piece of answer."""

    connect: float = 10.0
    read: float = 60.0


class StoreLocation(Struct, frozen=True):
    """One prefix of one bucket at one endpoint.

    Attributes:
        endpoint: `https://host[:port]` or `http://host[:port]`.
        bucket: Its name.
        prefix: Ends with `/`, or is empty.
        region: What requests are signed for; most servers that are not AWS take `us-east-1`.
        style: Where requests name the bucket.
        ca_file: PEM file of the authorities to trust; empty means the public ones.
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
    """What requests are signed with; `session_token` belongs to keys that expire, else it is empty."""

    access_key: str
    secret_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return "AccessKeys(…)"


class CredentialsProvider(Protocol):
    """Where keys come from; safe for many threads.

    Both raise SettingsError where a key is missing, and a StoreError where another server refuses
    to give them.
    """

    def get_keys(self) -> AccessKeys:
        """Return the keys that hold now; cheap, called for each request."""
        ...

    def refresh(self, rejected: AccessKeys) -> AccessKeys:
        """Return what holds now that the store has refused these; the same if nothing is newer."""
        ...


MODE_SETTING = "STORAGE_MODE"
REQUIRED_SETTINGS = ("S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY")
KNOWN_SETTINGS = (
    MODE_SETTING,
    *REQUIRED_SETTINGS,
    "S3_REGION",
    "S3_STYLE",
    "S3_PROXY",
    "S3_CA",
    "S3_ROLE_ARN",
    "S3_STS_ENDPOINT",
    "S3_SESSION_TOKEN",
)
SecretValues: TypeAlias = Mapping[str, str]


class StorageMode(Enum):
    """Whose storage it is."""

    SHARED = "shared"
    CUSTOM = "custom"


class StaticKeyAuth(Struct, frozen=True):
    """The Secret has keys."""


class WebIdentityAuth(Struct, frozen=True):
    """The pod's own identity is exchanged for keys at this STS endpoint."""

    role_arn: str
    sts_endpoint: str


AuthMethod: TypeAlias = StaticKeyAuth | WebIdentityAuth


class StorageConfig(Struct, frozen=True):
    """A store and how one gets into it.

    The location has neither prefix nor authority file: those are the process's own business.
    """

    location: StoreLocation
    auth: AuthMethod


def parse_storage_mode(values: SecretValues) -> StorageMode:
    """Tell whose storage the project's Secret wants.

    Raises:
        SettingsError: It says something else, or nothing although it has storage of its own.
    """
    said = values.get(MODE_SETTING, "")
    if said:
        try:
            return StorageMode(said)
        except ValueError:
            raise SettingsError(f"{MODE_SETTING} is `{said}`: write `shared` or `custom`") from None
    own = [name for name in REQUIRED_SETTINGS if values.get(name)]
    if own:
        raise SettingsError(
            f"the project's Secret has {', '.join(own)} but no {MODE_SETTING}: write `custom` to use them "
            "or `shared` to leave them unused"
        )
    return StorageMode.SHARED


def parse_storage_config(values: SecretValues, *, web_identity: bool) -> StorageConfig:
    """Read the chosen Secret.

    Args:
        values: Its values.
        web_identity: Whether the pod has a token to exchange; then no key is needed, nor taken.

    Raises:
        SettingsError: A value is missing or makes no sense; names all that are missing.
    """
    keys = () if web_identity else ("S3_ACCESS_KEY", "S3_SECRET_KEY")
    missing = [name for name in ("S3_ENDPOINT", "S3_BUCKET", *keys) if not values.get(name)]
    if missing:
        raise SettingsError(
            f"{', '.join(missing)} missing or empty in the Secret of the chosen storage; nothing "
            "else is used in its place"
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
    said = values.get("S3_STS_ENDPOINT", "")
    if said:
        return WebIdentityAuth(
            values.get("S3_ROLE_ARN", ""), _parse_endpoint("S3_STS_ENDPOINT", said)
        )
    if _is_aws(location.endpoint):
        aws = f"https://sts.{location.region}.amazonaws.com"
        return WebIdentityAuth(values.get("S3_ROLE_ARN", ""), aws)
    return WebIdentityAuth(values.get("S3_ROLE_ARN", ""), location.endpoint)


_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _parse_endpoint(name: str, text: str) -> str:
    """Accept what people write: with or without scheme, with a slash at the end."""
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
        raise SettingsError(f"S3_BUCKET is `{text}`, which is no name of a bucket")
    return text


def _parse_style(text: str) -> AddressingStyle:
    try:
        return AddressingStyle(text)
    except ValueError:
        known = ", ".join(each.value for each in AddressingStyle)
        raise SettingsError(f"S3_STYLE is `{text}`: write one of {known}") from None


def _is_aws(endpoint: str) -> bool:
    return bool(re.search(r"\.amazonaws\.com(\.cn)?(:\d+)?$", endpoint))


def _guess_region(endpoint: str) -> str:
    found = re.search(r"//s3[.-]([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com", endpoint)
    return found[1] if found else "us-east-1"
