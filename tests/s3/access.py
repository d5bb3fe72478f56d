"""What a test needs to know of a running S3 server."""

from dataclasses import dataclass

from reconcile.mirror.store.credentials import StaticKeys
from reconcile.mirror.store.location import Keys, Location


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server.

    Attributes:
        url: Where it listens.
        keys: Those of a user who may do everything.
        checks_keys: Whether it refuses wrong ones.
    """

    url: str
    keys: Keys
    checks_keys: bool

    def location(self, bucket: str, prefix: str = "") -> Location:
        """Return a place on this server."""
        return Location(self.url, bucket, prefix)

    @property
    def credentials(self) -> StaticKeys:
        """Return the keys as a source of keys."""
        return StaticKeys(self.keys)
