"""Where a store is, as values: endpoint, bucket, prefix, and how to speak with it."""

from enum import Enum
from typing import Protocol

from msgspec import Struct


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
