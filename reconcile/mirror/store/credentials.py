"""Keys for the pod's own identity: its projected token, exchanged at STS, so that none is stored.

The token is read anew for each exchange, since the kubelet renews its file.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import urllib3
from msgspec import Struct
from urllib3.response import BaseHTTPResponse

from reconcile.mirror.errors import DeniedError, SettingsError, StoreAwayError, StoreError
from reconcile.mirror.store import broken
from reconcile.mirror.store.answers import complaint, parsed, text_of, time_of
from reconcile.mirror.store.location import Keys, Location
from reconcile.mirror.store.s3_errors import Asked
from reconcile.mirror.store.s3_http import pool

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
            raise broken.error_of(error, asked) from error

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
