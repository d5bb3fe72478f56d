"""What a test needs to know of a running S3 server."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from reconcile.mirror.store.config import AccessKeys, StoreLocation
from tests.controlplane import credentials


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """Always the same keys."""

    access_keys: AccessKeys

    def get_keys(self) -> AccessKeys:
        return self.access_keys

    def refresh(self, rejected: AccessKeys) -> AccessKeys:  # noqa: ARG002 - the keys never change
        return self.access_keys


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server.

    Attributes:
        url: Where it listens.
        keys: Those of a user who may do everything.
        checks_keys: Whether it refuses wrong ones.
        state: Folder of its files; empty where it has none.
    """

    url: str
    keys: AccessKeys
    checks_keys: bool
    state: str = ""

    @classmethod
    def attach(cls, handle: Path) -> Self:
        """Return the server that another process runs and has saved."""
        said = json.loads(handle.read_text())
        keys = AccessKeys(said["access"], said["secret"])
        return cls(said["url"], keys, said["checks_keys"], said["state"])

    def save(self, handle: Path) -> None:
        """Write what `attach` reads, all at once."""
        said = {
            "url": self.url,
            "access": self.keys.access_key,
            "secret": self.keys.secret_key,
            "checks_keys": self.checks_keys,
            "state": self.state,
        }
        credentials.write_private(handle, json.dumps(said).encode())

    def location(self, bucket: str, prefix: str = "") -> StoreLocation:
        """Return a place on this server."""
        return StoreLocation(self.url, bucket, prefix)

    @property
    def credentials(self) -> StaticCredentials:
        """Return the keys as a source of keys."""
        return StaticCredentials(self.keys)
