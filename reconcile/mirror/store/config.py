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


class Style(Enum):
    """Where requests name the bucket."""

    AUTO = "auto"
    """In the host for AWS, in the path for everybody else."""
    PATH = "path"
    VIRTUAL_HOST = "virtual-host"


class Patience(Struct, frozen=True):
    """How long one request may wait, in seconds: for a connection, and for each piece of answer."""

    connect: float = 10.0
    read: float = 60.0


class Location(Struct, frozen=True):
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
        patience: Time limits of one request.
    """

    endpoint: str
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    style: Style = Style.AUTO
    ca_file: str = ""
    proxy: str = ""
    connections: int = 16
    patience: Patience = Patience()


class Keys(Struct, frozen=True):
    """What requests are signed with; `token` belongs to keys that expire, else it is empty."""

    access: str
    secret: str
    token: str = ""

    def __repr__(self) -> str:
        return "Keys(…)"


class Credentials(Protocol):
    """Where keys come from; safe for many threads.

    Both raise SettingsError where a key is missing, and a StoreError where another server refuses
    to give them.
    """

    def keys(self) -> Keys:
        """Return the keys that hold now; cheap, called for each request."""
        ...

    def renewed(self, refused: Keys) -> Keys:
        """Return what holds now that the store has refused these; the same if nothing is newer."""
        ...


MODE = "STORAGE_MODE"
OWN = ("S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY")
KNOWN = (
    MODE,
    *OWN,
    "S3_REGION",
    "S3_STYLE",
    "S3_PROXY",
    "S3_CA",
    "S3_ROLE_ARN",
    "S3_STS_ENDPOINT",
    "S3_SESSION_TOKEN",
)
Values: TypeAlias = Mapping[str, str]


class Mode(Enum):
    """Whose storage it is."""

    SHARED = "shared"
    CUSTOM = "custom"


class StaticAccess(Struct, frozen=True):
    """The Secret has keys."""


class IdentityAccess(Struct, frozen=True):
    """The pod's own identity is exchanged for keys at this STS endpoint."""

    role: str
    endpoint: str


Access: TypeAlias = StaticAccess | IdentityAccess


class Storage(Struct, frozen=True):
    """A store and how one gets into it.

    The location has neither prefix nor authority file: those are the process's own business.
    """

    location: Location
    access: Access


def mode(project: Values) -> Mode:
    """Tell whose storage the project's Secret wants.

    Raises:
        SettingsError: It says something else, or nothing although it has storage of its own.
    """
    said = project.get(MODE, "")
    if said:
        try:
            return Mode(said)
        except ValueError:
            raise SettingsError(f"{MODE} is `{said}`: write `shared` or `custom`") from None
    own = [name for name in OWN if project.get(name)]
    if own:
        raise SettingsError(
            f"the project's Secret has {', '.join(own)} but no {MODE}: write `custom` to use them "
            "or `shared` to leave them unused"
        )
    return Mode.SHARED


def storage(values: Values, *, web_identity: bool) -> Storage:
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
    endpoint = _endpoint("S3_ENDPOINT", values["S3_ENDPOINT"])
    location = Location(
        endpoint=endpoint,
        bucket=_bucket(values["S3_BUCKET"]),
        region=values.get("S3_REGION") or _region(endpoint),
        style=_style(values.get("S3_STYLE") or "auto"),
        proxy=values.get("S3_PROXY", ""),
    )
    return Storage(location, _access(values, location) if web_identity else StaticAccess())


def _access(values: Values, location: Location) -> Access:
    said = values.get("S3_STS_ENDPOINT", "")
    if said:
        return IdentityAccess(values.get("S3_ROLE_ARN", ""), _endpoint("S3_STS_ENDPOINT", said))
    if _is_aws(location.endpoint):
        aws = f"https://sts.{location.region}.amazonaws.com"
        return IdentityAccess(values.get("S3_ROLE_ARN", ""), aws)
    return IdentityAccess(values.get("S3_ROLE_ARN", ""), location.endpoint)


def _endpoint(name: str, text: str) -> str:
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
    return f"{url.scheme}://{url.netloc}"


def _bucket(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,61}[a-zA-Z0-9]", text):
        raise SettingsError(f"S3_BUCKET is `{text}`, which is no name of a bucket")
    return text


def _style(text: str) -> Style:
    try:
        return Style(text)
    except ValueError:
        known = ", ".join(each.value for each in Style)
        raise SettingsError(f"S3_STYLE is `{text}`: write one of {known}") from None


def _is_aws(endpoint: str) -> bool:
    return bool(re.search(r"\.amazonaws\.com(\.cn)?(:\d+)?$", endpoint))


def _region(endpoint: str) -> str:
    found = re.search(r"//s3[.-]([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com", endpoint)
    return found[1] if found else "us-east-1"
