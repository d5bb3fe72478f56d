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
from msgspec import Struct
from urllib3.response import BaseHTTPResponse

from reconcile.mirror.errors import DeniedError, SettingsError, StoreAwayError, StoreError
from reconcile.mirror.store import s3_errors
from reconcile.mirror.store.config import Keys, Location
from reconcile.mirror.store.s3_errors import Asked
from reconcile.mirror.store.s3_http import pool
from reconcile.mirror.store.s3_xml import complaint, parsed, text_of, time_of

LARGEST = 1 << 20
"""No Secret is larger."""


class SecretDirectory:
    """Values by name, as they are now.

    The kubelet puts a new version into a folder of its own and swaps the link `..data`. Another
    tool may write the files in place. Both change what `stat` says of a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def values(self) -> Mapping[str, str]:
        """Read all values, of one version, without the blanks and newlines around them.

        Raises:
            SettingsError: The folder or a file in it cannot be read.
        """
        while True:
            before = self.stamp()
            found = {path.name: self._value(path) for path in self._files()}
            if self.stamp() == before:
                return found

    def stamp(self) -> object:
        """Return something that differs when any value may have changed; costs a few stats."""
        try:
            return [(path.name, *_marks(path)) for path in self._files()]
        except OSError:
            return None  # swapped under our eyes; the next look is at the new one

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.path.iterdir() if not path.name.startswith("."))
        except OSError as error:
            raise SettingsError(
                f"the folder of credentials {self.path} cannot be read: {error.strerror}"
            ) from error

    def _value(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                return file.read(LARGEST).decode().strip()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise SettingsError(f"{path} cannot be read: {reason}") from error


def _marks(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


ACCESS = "S3_ACCESS_KEY"
SECRET = "S3_SECRET_KEY"  # noqa: S105 - the name of the setting
TOKEN = "S3_SESSION_TOKEN"  # noqa: S105 - the name of the setting


class StaticKeys(Struct, frozen=True):
    """The same keys for ever."""

    held: Keys

    def keys(self) -> Keys:
        return self.held

    def renewed(self, refused: Keys) -> Keys:  # noqa: ARG002 - there is nothing newer
        return self.held


class SecretKeys:
    """The keys of a mounted Secret, read again as soon as its files change.

    Raises SettingsError from both methods where a key is missing or empty.
    """

    def __init__(self, secret: SecretDirectory) -> None:
        self._secret = secret
        self._lock = threading.Lock()
        self._stamp: object = None
        self._held: Keys | None = None

    def keys(self) -> Keys:
        with self._lock:
            stamp = self._secret.stamp()
            if self._held is None or stamp is None or stamp != self._stamp:
                self._held, self._stamp = self._read(), stamp
            return self._held

    def renewed(self, refused: Keys) -> Keys:
        with self._lock:
            if self._held == refused:
                self._held, self._stamp = self._read(), None
            return self._held or refused

    def _read(self) -> Keys:
        values = self._secret.values()
        missing = [name for name in (ACCESS, SECRET) if not values.get(name)]
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)} missing or empty in the Secret mounted at "
                f"{self._secret.path}"
            )
        return Keys(values[ACCESS], values[SECRET], values.get(TOKEN, ""))


LEAD = 300.0
"""Seconds before their end at which keys are exchanged for new ones; at most half their life."""


class Role(Struct, frozen=True):
    """Who the pod wants to be.

    Attributes:
        token_file: The projected service account token.
        arn: The role; MinIO takes an empty one and decides by the token's claims.
        session: Names the session in the store's audit log.
        seconds: How long the keys shall hold.
    """

    token_file: Path
    arn: str
    session: str
    seconds: int = 3600


class _Held(Struct, frozen=True):
    keys: Keys
    renew: float
    ends: float


class WebIdentity:
    """Keys from AssumeRoleWithWebIdentity, renewed in good time.

    Args:
        role: Who the pod wants to be.
        location: The STS endpoint, and how to speak with it.
        now: Seconds since 1970.
    """

    def __init__(self, role: Role, location: Location, now: Callable[[], float]) -> None:
        self._role = role
        self._location = location
        self._now = now
        self._http = pool(location)
        self._lock = threading.Lock()
        self._held: _Held | None = None

    def keys(self) -> Keys:
        with self._lock:
            held = self._held
            if held is None or self._now() >= held.renew:
                held = self._held = self._exchanged_or(held)
            return held.keys

    def renewed(self, refused: Keys) -> Keys:
        with self._lock:
            if self._held is None or self._held.keys == refused:
                self._held = self._exchange()
            return self._held.keys

    def _exchanged_or(self, held: _Held | None) -> _Held:
        """While STS is away, keys that still hold are used."""
        try:
            return self._exchange()
        except StoreAwayError:
            if held is None or self._now() >= held.ends:
                raise
            return held

    def _exchange(self) -> _Held:
        answer = self._send(self._token())
        if answer.status != 200:  # noqa: PLR2004 - HTTP
            raise self._refused(answer)
        try:
            keys, ends = _read(answer.data)
        except ValueError as error:
            raise StoreAwayError(f"the answer of {self._endpoint} cannot be read") from error
        left = ends - self._now()
        return _Held(keys, ends - min(LEAD, left / 2), ends)

    def _token(self) -> str:
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
            "DurationSeconds": str(self._role.seconds),
            "RoleSessionName": self._role.session,
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
            asked = Asked(self._location, "sts:AssumeRoleWithWebIdentity", "")
            raise s3_errors.error_of_exception(error, asked) from error

    @property
    def _endpoint(self) -> str:
        return self._location.endpoint.rstrip("/")

    def _refused(self, answer: BaseHTTPResponse) -> StoreError:
        code, message = complaint(answer.data)
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


def _read(body: bytes) -> tuple[Keys, float]:
    root = parsed(body, "AssumeRoleWithWebIdentityResponse")
    access, secret, token, ends = (
        text_of(root, "AssumeRoleWithWebIdentityResult", "Credentials", name)
        for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    )
    if not access or not secret:
        raise ValueError("no keys")
    return Keys(access, secret, token), time_of(ends)
