"""Static keys: fixed ones, and those of a mounted Secret, which may rotate."""

import threading

from msgspec import Struct

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.store.location import Keys
from reconcile.mirror.store.secretdir import SecretDirectory

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
