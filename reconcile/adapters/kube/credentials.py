"""Who we are to the API server: credentials that are fixed, re-read from a file, or made anew."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from reconcile.core.errors import ClusterError

TimeFunction: TypeAlias = Callable[[], float]
"""Seconds from some start."""

TOKEN_REFRESH_SECONDS: Final = 60.0
"""A mounted token is replaced hourly, long before it expires; client-go re-reads it as often."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A client certificate with its key, both PEM; never shown."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Credential:
    """What one request is sent with; two are equal only if they are the same one.

    Anonymous without a token and a key pair. Never shown.
    """

    token: str = field(default="", repr=False)
    key_pair: KeyPair | None = field(default=None, repr=False)


class CredentialProvider(Protocol):
    """Where credentials come from; safe to call from several threads."""

    def current(self) -> Credential:
        """What to send now; ClusterError where there is nothing to send."""
        ...

    def renew(self, refused: Credential) -> bool:
        """After a 401: whether `current` is now another credential than `refused`."""
        ...


class FixedCredentials:
    """A token, a client certificate, both or none, for as long as the program runs."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    def current(self) -> Credential:
        return self._credential

    def renew(self, refused: Credential) -> bool:
        del refused
        return False


class TokenFile:
    """A token in a file that somebody else replaces, such as a mounted service account's."""

    def __init__(
        self, path: Path, fallback: Credential, monotonic: TimeFunction = time.monotonic
    ) -> None:
        """Read nothing yet.

        Args:
            path: The file.
            fallback: Its token is sent while the file cannot be read, its key pair always.
            monotonic: Tells when the file is read again.
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
        """Take over the file's token; one that is known outlives a file that is gone."""
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
        return validate_token(path.read_text("utf-8"), str(path))
    except OSError as error:
        raise ClusterError(f"{path}: cannot read the token: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ClusterError(f"{path}: cannot read the token: it is not UTF-8") from error


def validate_token(token: str, origin: str) -> str:
    """Return a token that fits into a header, or say where it came from.

    A line break in it would be a header of its own, and no error may quote it.
    """
    stripped = token.strip()
    if not stripped or not stripped.isascii() or not stripped.isprintable():
        raise ClusterError(f"{origin}: the token is empty or has characters that no token has")
    return stripped
