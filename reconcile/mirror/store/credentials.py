"""Credentials: the keys of a mounted Secret, and keys from STS for the pod's own identity.

A Secret is a directory with one file for each key; it is read again when the kubelet updates it.
With web identity, the pod's projected token is exchanged at STS, so that no key is stored. Both are
our own code: minio's providers read no Secret that changes, print their keys in `repr`, and send
the token in a URL, which their error messages repeat.
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode

import urllib3
from minio.xml import findall, findtext
from msgspec import Struct
from urllib3.response import BaseHTTPResponse

from reconcile.mirror.errors import DeniedError, SettingsError, StoreAwayError, StoreError
from reconcile.mirror.store import s3_errors
from reconcile.mirror.store.config import AccessKeys, StoreLocation, check_access_keys
from reconcile.mirror.store.redaction import redact
from reconcile.mirror.store.s3_errors import RequestContext
from reconcile.mirror.store.s3_http import build_connection_pool, read_small_body
from reconcile.mirror.store.s3_xml import parse_error_body, parse_iso_time, parse_xml

MAX_SECRET_BYTES = 1 << 20
"""Kubernetes allows no larger Secret."""


class SecretDirectory:
    """The current values of a mounted Secret, by name.

    The kubelet writes a new version into a new directory and replaces the link `..data`. Another
    tool may write the files in place. Both change the result of `stat`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read_values(self) -> Mapping[str, str]:
        """Read all values of one version, without surrounding whitespace.

        Raises:
            SettingsError: The directory or a file in it cannot be read.
        """
        while True:
            before = self.fingerprint()
            values = {path.name: self._read_value(path) for path in self._list_files()}
            if self.fingerprint() == before:
                return values

    def fingerprint(self) -> object:
        """Return a value that differs when any value may have changed; costs a few `stat` calls."""
        try:
            return [(path.name, *_stat_fingerprint(path)) for path in self._list_files()]
        except OSError:
            return None  # replaced concurrently; the next call reads the new version

    def _list_files(self) -> list[Path]:
        try:
            return sorted(path for path in self.path.iterdir() if not path.name.startswith("."))
        except OSError as error:
            raise SettingsError(
                f"the directory of credentials {self.path} cannot be read: {error.strerror}"
            ) from error

    def _read_value(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                return file.read(MAX_SECRET_BYTES).decode().strip()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise SettingsError(f"{path} cannot be read: {reason}") from error


def _stat_fingerprint(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


ACCESS_KEY_SETTING = "S3_ACCESS_KEY"
SECRET_KEY_SETTING = "S3_SECRET_KEY"  # noqa: S105 - the name of the setting
SESSION_TOKEN_SETTING = "S3_SESSION_TOKEN"  # noqa: S105 - the name of the setting


class MountedSecretCredentials:
    """The keys of a mounted Secret, read again as soon as its files change.

    Both methods raise SettingsError if a key is missing or empty.
    """

    def __init__(self, secret: SecretDirectory) -> None:
        self._secret = secret
        self._lock = threading.Lock()
        self._fingerprint: object = None
        self._cached: AccessKeys | None = None

    def get_keys(self) -> AccessKeys:
        with self._lock:
            fingerprint = self._secret.fingerprint()
            if self._cached is None or fingerprint is None or fingerprint != self._fingerprint:
                self._cached, self._fingerprint = self._read_keys(), fingerprint
            return self._cached

    def refresh(self, rejected: AccessKeys) -> AccessKeys:
        with self._lock:
            if self._cached == rejected:
                self._cached, self._fingerprint = self._read_keys(), None
            return self._cached or rejected

    def _read_keys(self) -> AccessKeys:
        values = self._secret.read_values()
        missing = [
            name for name in (ACCESS_KEY_SETTING, SECRET_KEY_SETTING) if not values.get(name)
        ]
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)} missing or empty in the Secret mounted at "
                f"{self._secret.path}"
            )
        keys = AccessKeys(
            values[ACCESS_KEY_SETTING],
            values[SECRET_KEY_SETTING],
            values.get(SESSION_TOKEN_SETTING, ""),
        )
        return check_access_keys(keys)


RENEW_BEFORE = 300.0
"""Seconds before their expiry at which keys are renewed; at most half their lifetime."""


class WebIdentityRole(Struct, frozen=True):
    """The role that the pod assumes.

    Attributes:
        token_file: The projected service account token.
        arn: The role; MinIO accepts an empty one and decides by the token's claims.
        session_name: Name of the session in the store's audit log.
        duration_seconds: Lifetime of the keys.
    """

    token_file: Path
    arn: str
    session_name: str
    duration_seconds: int = 3600


class _CachedKeys(Struct, frozen=True):
    keys: AccessKeys
    renew_at: float
    expires_at: float


class WebIdentityCredentials:
    """Keys from AssumeRoleWithWebIdentity, renewed before they expire.

    Each exchange reads the token file again, since the kubelet renews it.

    Args:
        role: The role that the pod assumes.
        location: The STS endpoint, and how to connect to it.
        now: Returns the seconds since 1970.
    """

    def __init__(
        self, role: WebIdentityRole, location: StoreLocation, now: Callable[[], float]
    ) -> None:
        self._role = role
        self._location = location
        self._now = now
        self._http = build_connection_pool(location)
        self._lock = threading.Lock()
        self._cached: _CachedKeys | None = None

    def get_keys(self) -> AccessKeys:
        with self._lock:
            cached = self._cached
            if cached is None or self._now() >= cached.renew_at:
                cached = self._cached = self._exchange_or_reuse(cached)
            return cached.keys

    def refresh(self, rejected: AccessKeys) -> AccessKeys:
        with self._lock:
            if self._cached is None or self._cached.keys == rejected:
                self._cached = self._exchange()
            return self._cached.keys

    def _exchange_or_reuse(self, cached: _CachedKeys | None) -> _CachedKeys:
        """Renew the keys; while STS is unavailable, use the current ones until they expire."""
        try:
            return self._exchange()
        except StoreAwayError:
            if cached is None or self._now() >= cached.expires_at:
                raise
            return cached

    def _exchange(self) -> _CachedKeys:
        token = self._read_token()
        response = self._send(token)
        try:
            body = read_small_body(response)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._connection_error(error) from error
        if response.status != 200:  # noqa: PLR2004 - HTTP
            raise self._rejection_error(response.status, body, token)
        try:
            keys, expires_at = _parse_keys(body)
            check_access_keys(keys)
        except (ValueError, OverflowError, SettingsError):
            # The cause is left out: its message may have keys.
            raise StoreAwayError(f"the response of {self._endpoint} cannot be read") from None
        lifetime = expires_at - self._now()
        return _CachedKeys(keys, expires_at - min(RENEW_BEFORE, lifetime / 2), expires_at)

    def _read_token(self) -> str:
        file = self._role.token_file
        try:
            token = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise SettingsError(f"the pod's token {file} cannot be read: {reason}") from error
        if not token:
            raise SettingsError(f"the pod's token {file} is empty")
        return token

    def _send(self, token: str) -> BaseHTTPResponse:
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "DurationSeconds": str(self._role.duration_seconds),
            "RoleSessionName": self._role.session_name,
            "WebIdentityToken": token,
        } | ({"RoleArn": self._role.arn} if self._role.arn else {})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            # The token is sent in the body, which proxies do not log.
            return self._http.request(
                "POST",
                self._endpoint + "/",
                body=urlencode(form),
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._connection_error(error) from error

    def _connection_error(self, error: Exception) -> StoreError:
        context = RequestContext(self._location, "sts:AssumeRoleWithWebIdentity", "")
        return s3_errors.error_of_exception(error, context)

    @property
    def _endpoint(self) -> str:
        return self._location.endpoint.rstrip("/")

    def _rejection_error(self, status: int, body: bytes, token: str) -> StoreError:
        secrets = (token, *self._location.proxy.secrets())
        code, message = (redact(part, secrets) for part in parse_error_body(body))
        reason = ": ".join(part for part in (f"HTTP {status}", code, message) if part)
        where = f"{self._endpoint} (sts:AssumeRoleWithWebIdentity)"
        if status >= 500 or status == 429 or code == "Throttling":  # noqa: PLR2004 - HTTP
            return StoreAwayError(f"{where} failed: {reason}")
        if code in {"ExpiredToken", "ExpiredTokenException"}:
            return DeniedError(
                f"{where} reports that the pod's token {self._role.token_file} has expired: "
                f"{reason}. The kubelet renews it; check the node's clock and the volume"
            )
        return DeniedError(
            f"{where} does not let this pod assume {self._role.arn or 'the role of its token'}: "
            f"{reason}. Check the role's trust policy, the token's audience and the service account"
        )


def _parse_keys(body: bytes) -> tuple[AccessKeys, float]:
    root = parse_xml(body, "AssumeRoleWithWebIdentityResponse")
    [keys] = findall(root, "AssumeRoleWithWebIdentityResult/Credentials")
    access, secret, token, expiration = (
        findtext(keys, name) or ""
        for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    )
    if not access or not secret:
        raise ValueError("no keys")
    return AccessKeys(access, secret, token), parse_iso_time(expiration)
