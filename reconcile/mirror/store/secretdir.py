"""A mounted Secret: one file for each key, read again when the kubelet swaps them."""

from collections.abc import Mapping
from pathlib import Path

from reconcile.mirror.errors import SettingsError

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
