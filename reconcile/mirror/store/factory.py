"""From mounted Secrets to a Store. Import it late: HTTP takes as long as a no-op pass."""

import re
from pathlib import Path
from time import time
from typing import assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.store.config import (
    AuthMethod,
    CredentialsProvider,
    StaticKeyAuth,
    StorageMode,
    StoreLocation,
    Timeouts,
    WebIdentityAuth,
    parse_storage_config,
    parse_storage_mode,
)
from reconcile.mirror.store.credentials import (
    MountedSecretCredentials,
    SecretDirectory,
    WebIdentityCredentials,
    WebIdentityRole,
)
from reconcile.mirror.store.s3 import S3Store


class Mounts(Struct, frozen=True):
    """Where the pod has what it was given; an empty path means that it was not.

    Attributes:
        project: Folder of the project's Secret.
        shared: Folder of the installation's Secret.
        token: File of the pod's projected token, for web identity.
        ca_file: PEM file of authorities; a Secret's own `S3_CA` goes before it.
    """

    project: str = ""
    shared: str = ""
    token: str = ""
    ca_file: str = ""


class StoreOptions(Struct, frozen=True):
    """What of the bucket a process wants.

    Attributes:
        prefix: `<namespace>/<session>/`.
        name: Names the session in the store's audit log.
        connections: How many requests run at a time.
        timeouts: Time limits of one request.
    """

    prefix: str
    name: str
    connections: int = 16
    timeouts: Timeouts = field(default_factory=Timeouts)


def open_store(mounts: Mounts, options: StoreOptions) -> S3Store:
    """Open the store that the mounted Secrets name. No request is made.

    Raises:
        SettingsError: A value is missing or makes no sense, or a file cannot be read.
    """
    chosen = _choose_secret(mounts)
    found = parse_storage_config(chosen.read_values(), web_identity=bool(mounts.token))
    own = chosen.path / "S3_CA"
    location = replace(
        found.location,
        prefix=options.prefix,
        ca_file=str(own) if own.exists() else mounts.ca_file,
        connections=options.connections,
        timeouts=options.timeouts,
    )
    if location.ca_file and not Path(location.ca_file).is_file():
        raise SettingsError(f"there is no file of authorities {location.ca_file}")
    return S3Store(
        location, _build_credentials(found.auth, chosen, location, mounts.token, options.name)
    )


def _choose_secret(mounts: Mounts) -> SecretDirectory:
    project = SecretDirectory(Path(mounts.project)) if mounts.project else None
    if project is not None and parse_storage_mode(project.read_values()) is StorageMode.CUSTOM:
        return project
    if not mounts.shared:
        raise SettingsError(
            "the storage is the shared one, but the Secret of the shared storage is not mounted; "
            "mount it, or write STORAGE_MODE: custom into the project's Secret"
        )
    return SecretDirectory(Path(mounts.shared))


def _build_credentials(
    auth: AuthMethod, secret: SecretDirectory, location: StoreLocation, token: str, name: str
) -> CredentialsProvider:
    match auth:
        case StaticKeyAuth():
            return MountedSecretCredentials(secret)
        case WebIdentityAuth(role, endpoint):
            who = WebIdentityRole(Path(token), role, _session_name(name))
            return WebIdentityCredentials(who, replace(location, endpoint=endpoint), time)
        case _:
            assert_never(auth)


def _session_name(name: str) -> str:
    """STS takes 2 to 64 characters of a small alphabet."""
    return (re.sub(r"[^\w+=,.@-]", "-", name, flags=re.ASCII) or "mirror")[:64].ljust(2, "-")
