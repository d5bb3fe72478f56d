"""The address and keys of a running S3 server."""

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
        url: Its address.
        keys: The keys of a user with all rights.
        checks_keys: Whether it refuses wrong keys.
        state: Folder of its files; empty if it has none.
    """

    url: str
    keys: AccessKeys
    checks_keys: bool
    state: str = ""

    @classmethod
    def attach(cls, handle: Path) -> Self:
        """Return the server that another process runs and saved in `handle`."""
        content = json.loads(handle.read_text())
        keys = AccessKeys(content["access"], content["secret"])
        return cls(content["url"], keys, content["checks_keys"], content["state"])

    def save(self, handle: Path) -> None:
        """Write the file that `attach` reads, atomically."""
        content = {
            "url": self.url,
            "access": self.keys.access_key,
            "secret": self.keys.secret_key,
            "checks_keys": self.checks_keys,
            "state": self.state,
        }
        credentials.write_private(handle, json.dumps(content).encode())

    def location(self, bucket: str, prefix: str = "") -> StoreLocation:
        """Return the location of a prefix on this server."""
        return StoreLocation(self.url, bucket, prefix)

    @property
    def credentials(self) -> StaticCredentials:
        """The keys as credentials of a store."""
        return StaticCredentials(self.keys)
