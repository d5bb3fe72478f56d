"""Keys for the pod's own identity: its projected token, exchanged at STS, so that none is stored.

The token is read anew for each exchange, since the kubelet renews its file.

A mounted Secret: one file for each key, read again when the kubelet swaps them.

Static keys: fixed ones, and those of a mounted Secret, which may rotate.
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
from reconcile.mirror.store.config import AccessKeys, StoreLocation
from reconcile.mirror.store.s3_errors import RequestContext
from reconcile.mirror.store.s3_http import build_connection_pool
from reconcile.mirror.store.s3_xml import parse_error_body, parse_iso_time, parse_xml

MAX_SECRET_BYTES = 1 << 20
"""No Secret is larger."""


class SecretDirectory:
    """Values by name, as they are now.

    The kubelet puts a new version into a folder of its own and swaps the link `..data`. Another
    tool may write the files in place. Both change what `stat` says of a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read_values(self) -> Mapping[str, str]:
        """Read all values, of one version, without the blanks and newlines around them.

        Raises:
            SettingsError: The folder or a file in it cannot be read.
        """
        while True:
            before = self.fingerprint()
            found = {path.name: self._read_value(path) for path in self._list_files()}
            if self.fingerprint() == before:
                return found

    def fingerprint(self) -> object:
        """Return something that differs when any value may have changed; costs a few stats."""
        try:
            return [(path.name, *_stat_fingerprint(path)) for path in self._list_files()]
        except OSError:
            return None  # swapped under our eyes; the next look is at the new one

    def _list_files(self) -> list[Path]:
        try:
            return sorted(path for path in self.path.iterdir() if not path.name.startswith("."))
        except OSError as error:
            raise SettingsError(
                f"the folder of credentials {self.path} cannot be read: {error.strerror}"
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


class StaticCredentials(Struct, frozen=True):
    """The same keys for ever."""

    access_keys: AccessKeys

    def get_keys(self) -> AccessKeys:
        return self.access_keys

    def refresh(self, rejected: AccessKeys) -> AccessKeys:  # noqa: ARG002 - there is nothing newer
        return self.access_keys


class MountedSecretCredentials:
    """The keys of a mounted Secret, read again as soon as its files change.

    Raises SettingsError from both methods where a key is missing or empty.
    """

    def __init__(self, secret: SecretDirectory) -> None:
        self._secret = secret
        self._lock = threading.Lock()
        self._fingerprint: object = None
        self._cached: AccessKeys | None = None

    def get_keys(self) -> AccessKeys:
        with self._lock:
            stamp = self._secret.fingerprint()
            if self._cached is None or stamp is None or stamp != self._fingerprint:
                self._cached, self._fingerprint = self._read_keys(), stamp
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
        return AccessKeys(
            values[ACCESS_KEY_SETTING],
            values[SECRET_KEY_SETTING],
            values.get(SESSION_TOKEN_SETTING, ""),
        )


RENEW_BEFORE = 300.0
"""Seconds before their end at which keys are exchanged for new ones; at most half their life."""


class WebIdentityRole(Struct, frozen=True):
    """Who the pod wants to be.

    Attributes:
        token_file: The projected service account token.
        arn: The role; MinIO takes an empty one and decides by the token's claims.
        session_name: Names the session in the store's audit log.
        duration_seconds: How long the keys shall hold.
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
    """Keys from AssumeRoleWithWebIdentity, renewed in good time.

    Args:
        role: Who the pod wants to be.
        location: The STS endpoint, and how to speak with it.
        now: Seconds since 1970.
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
            held = self._cached
            if held is None or self._now() >= held.renew_at:
                held = self._cached = self._exchange_or_reuse(held)
            return held.keys

    def refresh(self, rejected: AccessKeys) -> AccessKeys:
        with self._lock:
            if self._cached is None or self._cached.keys == rejected:
                self._cached = self._exchange()
            return self._cached.keys

    def _exchange_or_reuse(self, cached: _CachedKeys | None) -> _CachedKeys:
        """While STS is away, keys that still hold are used."""
        try:
            return self._exchange()
        except StoreAwayError:
            if cached is None or self._now() >= cached.expires_at:
                raise
            return cached

    def _exchange(self) -> _CachedKeys:
        answer = self._send(self._read_token())
        if answer.status != 200:  # noqa: PLR2004 - HTTP
            raise self._rejection_error(answer)
        try:
            keys, ends = _parse_keys(answer.data)
        except ValueError as error:
            raise StoreAwayError(f"the answer of {self._endpoint} cannot be read") from error
        left = ends - self._now()
        return _CachedKeys(keys, ends - min(RENEW_BEFORE, left / 2), ends)

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
            # In the body, where no proxy logs it.
            return self._http.request(
                "POST",
                self._endpoint + "/",
                body=urlencode(form),
                headers=headers,
                redirect=False,
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            asked = RequestContext(self._location, "sts:AssumeRoleWithWebIdentity", "")
            raise s3_errors.error_of_exception(error, asked) from error

    @property
    def _endpoint(self) -> str:
        return self._location.endpoint.rstrip("/")

    def _rejection_error(self, answer: BaseHTTPResponse) -> StoreError:
        code, message = parse_error_body(answer.data)
        said = ": ".join(part for part in (f"HTTP {answer.status}", code, message) if part)
        where = f"{self._endpoint} (sts:AssumeRoleWithWebIdentity)"
        if answer.status >= 500 or answer.status == 429 or code == "Throttling":  # noqa: PLR2004 - HTTP
            return StoreAwayError(f"{where} failed: {said}")
        if code in {"ExpiredToken", "ExpiredTokenException"}:
            return DeniedError(
                f"{where} says that the pod's token {self._role.token_file} has expired: {said}. "
                "The kubelet renews it; look at the node's clock and at the volume"
            )
        return DeniedError(
            f"{where} does not let this pod be {self._role.arn or 'what its token says'}: {said}. "
            "Look at the role's trust policy, the token's audience and the service account"
        )


def _parse_keys(body: bytes) -> tuple[AccessKeys, float]:
    root = parse_xml(body, "AssumeRoleWithWebIdentityResponse")
    [keys] = findall(root, "AssumeRoleWithWebIdentityResult/Credentials")
    access, secret, token, ends = (
        findtext(keys, name) or ""
        for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    )
    if not access or not secret:
        raise ValueError("no keys")
    return AccessKeys(access, secret, token), parse_iso_time(ends)
