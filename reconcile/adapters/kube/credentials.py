"""Credentials for the API server: fixed ones, or a token that is read again from a file."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from reconcile.core.errors import ClusterError
from reconcile.runtime.files import read_limited

TimeFunction: TypeAlias = Callable[[], float]
"""Seconds from some start."""

TOKEN_REFRESH_SECONDS: Final = 60.0
"""How often a token file is read again, as in client-go; the kubelet replaces it hourly."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A client certificate with its key, both PEM; not shown in output."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Credential:
    """The credential of a request, anonymous without a token and a key pair.

    Compared by identity. Not shown in output.
    """

    token: str = field(default="", repr=False)
    key_pair: KeyPair | None = field(default=None, repr=False)


class CredentialProvider(Protocol):
    """Returns credentials; safe to call from several threads."""

    def current(self) -> Credential:
        """Return the current credential; ClusterError if there is none."""
        ...

    def renew(self, refused: Credential) -> bool:
        """After a 401: return whether `current` now differs from `refused`."""
        ...


class FixedCredentials:
    """A token, a client certificate, both or none, unchanged while the program runs."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    def current(self) -> Credential:
        return self._credential

    def renew(self, refused: Credential) -> bool:
        del refused
        return False


class TokenFile:
    """A token in a file that another process replaces, such as that of a service account."""

    def __init__(
        self, path: Path, fallback: Credential, monotonic: TimeFunction = time.monotonic
    ) -> None:
        """Create the provider; the file is read on first use.

        Args:
            path: The file with the token.
            fallback: Its token is sent while the file cannot be read, its key pair always.
            monotonic: The clock that decides when the file is read again.
        """
        self._path = path
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._credential = fallback
        self._stale_at = float("-inf")

    def current(self) -> Credential:
        with self._lock:
            if self._monotonic() >= self._stale_at:
                self._read()
            return self._credential

    def renew(self, refused: Credential) -> bool:
        with self._lock:
            if self._credential is refused:
                self._read()
            return self._credential is not refused

    def _read(self) -> None:
        """Read the file's token; keep the last one if the file cannot be read."""
        try:
            token = _read_token(self._path)
        except ClusterError:
            if not self._credential.token:
                raise
            token = self._credential.token
        if token != self._credential.token:
            self._credential = Credential(token, self._credential.key_pair)
        self._stale_at = self._monotonic() + TOKEN_REFRESH_SECONDS


def _read_token(path: Path) -> str:
    try:
        return validate_token(read_limited(path).decode(), str(path))
    except OSError as error:
        raise ClusterError(f"{path}: cannot read the token: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ClusterError(f"{path}: cannot read the token: it is not UTF-8") from error


def validate_token(token: str, origin: str) -> str:
    """Return the token without surrounding space; ClusterError with its origin if it is invalid.

    A line break in it would start another header. The error does not quote the token.
    """
    stripped = token.strip()
    if not stripped or not stripped.isascii() or not stripped.isprintable():
        raise ClusterError(f"{origin}: the token is empty or has invalid characters")
    return stripped
