"""The mirror's state directory, which the agent does not mount.

`mark.json` is the mark that hydrate leaves when it has finished; without it sync refuses to run.
`index` describes what was committed last. `manifests/` has the manifests of that generation's
chain, named by their digests, so that a start needs no download. Every file is written under
another name first, so that a crash leaves the old or the new one.
"""

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from reconcile.mirror.errors import MarkError, WorkspaceError
from reconcile.mirror.model import ManifestRef, Writer

_PRIVATE = 0o600


def _open_private(path: Path, flags: int) -> int:
    """Open a private file, never through a link, and without waiting for the reader of a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, _PRIVATE)


class StateDirectory:
    """The files of one directory, which is created by the first write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def marker_path(self) -> Path:
        """The mark of hydrate."""
        return self.path / "mark.json"

    @property
    def index_path(self) -> Path:
        """The index of the last commit."""
        return self.path / "index"

    @property
    def attempt_path(self) -> Path:
        """On which volume hydrate has begun to restore."""
        return self.path / "attempt"

    @property
    def shutdown_path(self) -> Path:
        """The file by which `prestop` signals the running sync."""
        return self.path / "ending"

    def read(self, path: Path) -> bytes | None:
        """Read one of the files; None if there is none.

        Raises:
            WorkspaceError: It exists and cannot be read.
        """
        try:
            with os.fdopen(_open_private(path, os.O_RDONLY), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise WorkspaceError(f"cannot read the mirror's state {path}: {error}") from error

    def write(self, path: Path, *pieces: bytes | memoryview) -> None:
        """Write one of the files atomically and durably.

        Raises:
            WorkspaceError: It cannot be written.
        """
        new = path.with_name(f"{path.name}.new")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.unlink(missing_ok=True)
            with os.fdopen(_open_private(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as out:
                out.writelines(pieces)
                out.flush()
                os.fsync(out.fileno())
            new.replace(path)
        except OSError as error:
            raise WorkspaceError(f"cannot write the mirror's state {path}: {error}") from error

    def remove(self, path: Path) -> None:
        """Remove one of the files if it exists.

        Raises:
            WorkspaceError: It cannot be removed.
        """
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if not os.path.lexists(path):
                return  # On a read-only file system the error comes first.
            raise WorkspaceError(f"cannot remove the mirror's state {path}: {error}") from error

    def read_cached_manifest(self, ref: ManifestRef) -> bytes | None:
        """Return a cached manifest; None if it cannot be read or does not match its digest."""
        try:
            data = self.read(self._manifests / ref.digest)
        except WorkspaceError:
            return None
        if data is None or hashlib.sha256(data).hexdigest() != ref.digest:
            return None
        return data

    def cache_manifest(self, digest: str, data: bytes) -> None:
        """Save a manifest for the next start; if that fails, it is downloaded then."""
        with suppress(WorkspaceError):
            self.write(self._manifests / digest, data)

    def prune_manifests(self, chain: Iterable[ManifestRef]) -> None:
        """Remove the cached manifests that are not in the chain; errors are ignored."""
        wanted = {ref.digest for ref in chain}
        with suppress(OSError, WorkspaceError):
            for path in self._manifests.iterdir():
                if path.name not in wanted:
                    self.remove(path)

    @property
    def _manifests(self) -> Path:
        return self.path / "manifests"


_FORMAT = "reconcile-mirror-mark/1"


class VolumeId(Struct, frozen=True):
    """Identifies a directory by device and inode, so that another one is not mistaken for it."""

    device: int
    inode: int


class HydrateMarker(Struct, frozen=True):
    """This volume was restored completely, from this generation, by this writer."""

    writer: Writer
    generation: int
    volume: VolumeId


def read_volume_id(workspace: Path) -> VolumeId:
    """Return the id of a workspace's volume.

    Raises:
        WorkspaceError: The directory is missing or cannot be read.
    """
    try:
        status = workspace.stat(follow_symlinks=False)
    except OSError as error:
        raise WorkspaceError(f"cannot read the workspace {workspace}: {error.strerror}") from error
    return VolumeId(status.st_dev, status.st_ino)


def write_hydrate_marker(state: StateDirectory, marker: HydrateMarker) -> None:
    """Write the mark; WorkspaceError if that fails."""
    value = {
        "format": _FORMAT,
        "uid": marker.writer.uid,
        "epoch": marker.writer.epoch,
        "name": marker.writer.name,
        "generation": marker.generation,
        "device": marker.volume.device,
        "inode": marker.volume.inode,
    }
    state.write(state.marker_path, orjson.dumps(value) + b"\n")


def find_hydrate_marker(state: StateDirectory) -> HydrateMarker | None:
    """Read the mark; None if there is none.

    Raises:
        MarkError: It is damaged.
    """
    data = state.read(state.marker_path)
    if data is None:
        return None
    try:
        return _parse_marker(orjson.loads(data))
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise MarkError(
            f"the mark {state.marker_path} is damaged ({reason}), so it is not known which pod "
            "restored this workspace and nothing of it is uploaded. Run `reconcile-mirror hydrate` "
            "again: it writes a new mark if the volume equals the snapshot, and otherwise reports "
            "which files differ"
        ) from None


def require_hydrate_marker(state: StateDirectory, workspace: Path) -> HydrateMarker:
    """Read the mark, and check that it is of this workspace.

    Raises:
        MarkError: It is missing, damaged, or of another volume.
        WorkspaceError: The workspace or the mark cannot be read.
    """
    marker = find_hydrate_marker(state)
    if marker is None:
        raise MarkError(
            f"no mark in {state.path}: this workspace was never restored completely, so nothing "
            "of it is uploaded. Run `reconcile-mirror hydrate` first, with the same state directory"
        )
    if marker.volume != read_volume_id(workspace):
        raise MarkError(
            f"the mark in {state.path} is of another volume than {workspace}: give each workspace "
            "a state directory of its own, and run `reconcile-mirror hydrate` first"
        )
    return marker


def _parse_marker(value: Any) -> HydrateMarker:
    if not isinstance(value, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - the data is wrong, not the code
    if value["format"] != _FORMAT:
        raise ValueError(f"unknown format {value['format']!r}")
    writer = Writer(str(value["uid"]), int(value["epoch"]), str(value["name"]))
    volume = VolumeId(int(value["device"]), int(value["inode"]))
    return HydrateMarker(writer, int(value["generation"]), volume)
