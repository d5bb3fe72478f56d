"""The credentials that a session declares, as files of mounted Secrets.

Each file is `<provider>/<field>`, for example `github/token`. The files are read at each use, since
the kubelet replaces them when a Secret is rotated.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

_HOSTS: Final = {"github": "github.com", "gitlab": "gitlab.com"}
_LARGEST_FILE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where a credential comes from: `keys` maps the fields of the answer to keys of the Secret.

    `host` is the host of the repositories that the credential is for, empty if it is for none.
    """

    provider: str
    secret_name: str
    keys: Mapping[str, str] = field(default_factory=dict)
    host: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Reads the mounted files of the declared credentials."""

    directory: Path
    sources: tuple[CredentialSource, ...] = ()

    def find(self, provider: str) -> CredentialSource | None:
        """Find the declared credential of a provider."""
        return next((each for each in self.sources if each.provider == provider), None)

    def find_for_host(self, host: str) -> CredentialSource | None:
        """Find the credential for the repositories of a host."""
        return next((each for each in self.sources if each.host and each.host == host), None)

    def read(self, source: CredentialSource) -> dict[str, str]:
        """Read the fields that are there now; a missing Secret or key has no field."""
        fields = ((name, self._read_file(source, name)) for name in source.keys)
        return {name: text for name, text in fields if text}

    def list_secrets(self) -> Iterator[str]:
        """Yield every value that must not be shown."""
        for source in self.sources:
            yield from self.read(source).values()

    def _read_file(self, source: CredentialSource, name: str) -> str:
        try:
            with (self.directory / source.provider / name).open("rb") as file:
                return file.read(_LARGEST_FILE).decode(errors="replace").rstrip("\n")
        except OSError:
            return ""


def parse_sources(text: str) -> tuple[CredentialSource, ...]:
    """Parse the setting: a JSON list of `{provider, secretName, keys, host}`.

    Raises:
        ValueError: It is something else.
    """
    items: Any = orjson.loads(text or "[]")
    if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
        raise ValueError("must be a list of credentials")
    return tuple(
        CredentialSource(
            each["provider"],
            each["secretName"],
            each.get("keys") or {},
            each.get("host") or _HOSTS.get(each["provider"], ""),
        )
        for each in items
    )
