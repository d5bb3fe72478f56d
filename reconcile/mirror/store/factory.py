"""Opens the store that the mounted Secrets name.

Import it only when the store is needed: urllib3 and minio take as long as a pass without changes.
"""

import re
import ssl
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
    """Paths of what is mounted into the pod; empty for what is not mounted.

    Attributes:
        project: Directory of the project's Secret.
        shared: Directory of the installation's Secret.
        token: File of the pod's projected token, for web identity.
        ca_file: PEM file of certificate authorities; `S3_CA` of the Secret has precedence.
    """

    project: str = ""
    shared: str = ""
    token: str = ""
    ca_file: str = ""


class StoreOptions(Struct, frozen=True):
    """Which part of the bucket a process uses, and how.

    Attributes:
        prefix: `<namespace>/<session>/`.
        name: Name of the session in the store's audit log.
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
        SettingsError: A value is missing or invalid, or a file cannot be read.
    """
    secret = _choose_secret(mounts)
    values = secret.read_values()
    config = parse_storage_config(values, web_identity=bool(mounts.token))
    location = replace(
        config.location,
        prefix=options.prefix,
        ca_file=str(secret.path / "S3_CA") if values.get("S3_CA") else mounts.ca_file,
        connections=options.connections,
        timeouts=options.timeouts,
    )
    _check_ca_file(location.ca_file)
    return S3Store(
        location, _build_credentials(config.auth, secret, location, mounts.token, options.name)
    )


def _check_ca_file(path: str) -> None:
    """Refuse a file of certificate authorities that no connection could use."""
    if not path:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise SettingsError(
            f"the CA file {path} is not a list of certificates in PEM format: correct S3_CA in "
            "the Secret, or the file"
        ) from None
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else error.strerror
        raise SettingsError(f"the CA file {path} {reason}") from None


def _choose_secret(mounts: Mounts) -> SecretDirectory:
    project = SecretDirectory(Path(mounts.project)) if mounts.project else None
    if project is not None and parse_storage_mode(project.read_values()) is StorageMode.CUSTOM:
        return project
    if not mounts.shared:
        raise SettingsError(
            "the session uses the shared storage, but its Secret is not mounted; mount it, or "
            "write STORAGE_MODE: custom into the project's Secret"
        )
    return SecretDirectory(Path(mounts.shared))


def _build_credentials(
    auth: AuthMethod, secret: SecretDirectory, location: StoreLocation, token: str, name: str
) -> CredentialsProvider:
    match auth:
        case StaticKeyAuth():
            return MountedSecretCredentials(secret)
        case WebIdentityAuth(role, endpoint):
            identity = WebIdentityRole(Path(token), role, _session_name(name))
            return WebIdentityCredentials(identity, replace(location, endpoint=endpoint), time)
        case _:
            assert_never(auth)


def _session_name(name: str) -> str:
    """Return a name that STS accepts: 2 to 64 characters of a small alphabet."""
    return (re.sub(r"[^\w+=,.@-]", "-", name, flags=re.ASCII) or "mirror")[:64].ljust(2, "-")
