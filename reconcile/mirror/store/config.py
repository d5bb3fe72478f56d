"""The storage of a session, parsed from the mounted Secrets: endpoint, bucket, region, keys.

A session uses either its project's own storage or the shared one. A value that is missing in the
chosen Secret is an error that names it; the other Secret never replaces it. Pure.
"""

import ipaddress
import re
from base64 import b64encode
from collections.abc import Mapping
from enum import Enum
from typing import Final, Protocol, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.store.aws_hosts import AwsHost, parse_aws_host


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


class Proxy(Struct, frozen=True):
    """An HTTP proxy: `http://host:port`, or empty for none, and the login that it asks for."""

    url: str = ""
    login: str = ""

    @property
    def basic_auth(self) -> str:
        """The login as it is sent."""
        return b64encode(self.login.encode()).decode()

    def secrets(self) -> tuple[str, ...]:
        """Return what must not be shown: the login, the password, and the login as it is sent."""
        password = self.login.partition(":")[2]
        return (self.login, password, self.basic_auth) if self.login else ()

    def __repr__(self) -> str:
        return f"Proxy({self.url})"


NO_PROXY: Final = Proxy()


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
        proxy: Never taken from the environment.
        connections: How many requests run at a time without waiting for a connection.
        timeouts: Time limits of one request.
    """

    endpoint: str
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    style: AddressingStyle = AddressingStyle.AUTO
    ca_file: str = ""
    proxy: Proxy = NO_PROXY
    connections: int = 16
    timeouts: Timeouts = Timeouts()


class AccessKeys(Struct, frozen=True):
    """Keys that sign requests; `session_token` belongs to temporary keys, otherwise it is empty."""

    access_key: str
    secret_key: str
    session_token: str = ""

    def secrets(self) -> tuple[str, ...]:
        """Return what must not be shown."""
        return self.access_key, self.secret_key, self.session_token

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
            raise SettingsError(
                f"{MODE_SETTING} must be `shared` or `custom`, in lower case"
            ) from None
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
    endpoint, region = _choose_region(
        _parse_endpoint("S3_ENDPOINT", values["S3_ENDPOINT"]),
        _check_region(values.get("S3_REGION", "")),
    )
    location = StoreLocation(
        endpoint=endpoint,
        bucket=_check_bucket_name(values["S3_BUCKET"]),
        region=region,
        style=_parse_style(values.get("S3_STYLE") or "auto"),
        proxy=_parse_proxy(values.get("S3_PROXY", "")),
    )
    return StorageConfig(
        location, _parse_auth(values, location) if web_identity else StaticKeyAuth()
    )


def _parse_auth(values: SecretValues, location: StoreLocation) -> AuthMethod:
    aws = _aws_host(location.endpoint)
    sts_endpoint = values.get("S3_STS_ENDPOINT", "")
    if sts_endpoint:
        sts_endpoint = _parse_endpoint("S3_STS_ENDPOINT", sts_endpoint)
    elif aws is not None:
        sts_endpoint = f"https://sts.{location.region}.{aws.domain}"
    else:
        sts_endpoint = location.endpoint
    return WebIdentityAuth(values.get("S3_ROLE_ARN", ""), sts_endpoint)


_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_PLAIN: Final = re.compile(r"[\x21-\x7e]+")
_PRINTABLE: Final = re.compile(r"[^\x00-\x1f\x7f]+")


def _parse_endpoint(name: str, text: str) -> str:
    """Accept an endpoint with or without a scheme or a trailing slash."""
    form = "must be like https://host or http://host:9000, without path, user or query"
    url = _split_url(name, text, "https", form)
    if url.path.strip("/") or url.query or url.fragment or "@" in url.netloc:
        raise SettingsError(f"{name} {form}")
    # minio removes the default port too, but with it the brackets of an IPv6 address.
    host = url.netloc.removesuffix(_DEFAULT_PORTS[url.scheme]).removesuffix(":")
    return f"{url.scheme}://{host}"


def _parse_proxy(text: str) -> Proxy:
    """Accept a proxy with or without a scheme, and with a login."""
    if not text:
        return NO_PROXY
    form = "must be like http://host:3128 or http://user:password@host:3128"
    url = _split_url("S3_PROXY", text, "http", form)
    if url.path.strip("/") or url.query or url.fragment:
        raise SettingsError(
            f"S3_PROXY {form}: characters such as # and / of a password as %23, %2F"
        )
    login, _, host = url.netloc.rpartition("@")
    return Proxy(f"{url.scheme}://{host}", unquote(login))


def _split_url(name: str, text: str, scheme: str, form: str) -> SplitResult:
    """Return the parts of a URL; errors never repeat it, since it may have a password.

    Args:
        name: The setting, for errors.
        text: Its value.
        scheme: The default scheme.
        form: What the value must be like, for errors.
    """
    try:
        url = urlsplit(text if "://" in text else f"{scheme}://{text}")
        port, host = url.port, url.hostname or ""
    except ValueError:
        raise SettingsError(f"{name} {form}") from None
    is_plain = _PLAIN.fullmatch(text) and url.scheme in _DEFAULT_PORTS and port != 0
    if not is_plain or not (_HOST_NAME.fullmatch(host) or _is_address(host)):
        raise SettingsError(f"{name} {form}")
    return url


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_bucket_name(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,61}[a-zA-Z0-9]", text) or ".." in text:
        raise SettingsError(
            "S3_BUCKET is not a valid bucket name: 3 to 63 letters, digits, dots, hyphens"
        )
    return text


def _check_region(text: str) -> str:
    if text and not re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?", text):
        raise SettingsError(
            "S3_REGION is not valid: write letters, digits, `-` and `_`, such as eu-central-1"
        )
    return text


def _parse_style(text: str) -> AddressingStyle:
    try:
        return AddressingStyle(text)
    except ValueError:
        styles = ", ".join(each.value for each in AddressingStyle)
        raise SettingsError(f"S3_STYLE must be one of {styles}") from None


def _choose_region(endpoint: str, region: str) -> tuple[str, str]:
    """Return the endpoint and region of requests, from those of the Secret."""
    aws = _aws_host(endpoint)
    if aws is None:
        return endpoint, region or "us-east-1"
    if not aws.is_for_objects:
        raise SettingsError(
            "S3_ENDPOINT is not an endpoint for objects: write one such as "
            f"https://s3.{aws.default_region}.{aws.domain}"
        )
    if aws.region and region not in {"", aws.region}:
        raise SettingsError(f"S3_REGION is not the region of S3_ENDPOINT, which is {aws.region}")
    region = region or aws.default_region
    # The name without a region serves only us-east-1, and redirects for some others.
    if aws.is_global and region != "us-east-1":
        endpoint = endpoint.replace(f"s3.{aws.domain}", f"s3.{region}.{aws.domain}")
    return endpoint, region


def _aws_host(endpoint: str) -> AwsHost | None:
    return parse_aws_host(urlsplit(endpoint).hostname or "")


def check_access_keys(keys: AccessKeys) -> AccessKeys:
    """Return keys that can sign requests and be sent in headers.

    Raises:
        SettingsError: One has other characters; names the setting, never the value.
    """
    for name, value in (
        ("S3_ACCESS_KEY", keys.access_key),
        ("S3_SESSION_TOKEN", keys.session_token),
    ):
        if value and not _PLAIN.fullmatch(value):
            raise SettingsError(
                f"{name} has a line break, a space or a letter that is not ASCII: correct the "
                "Secret"
            )
    if not _PRINTABLE.fullmatch(keys.secret_key):
        raise SettingsError("S3_SECRET_KEY has a line break or a tab: correct the Secret")
    return keys
