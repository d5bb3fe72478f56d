"""The mirror's own directory, which the agent does not mount: what is kept there, and how.

`mark.json` says that hydrate has finished, `index` what was committed last. The manifests of that
generation's chain lie beside them under their digests, so that a start needs no download.
Everything is written under another name first, so that a crash leaves the old or the new.

The mark that hydrate leaves when it is done, without which sync refuses to run.
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


class StateDirectory:
    """Files below one directory; it is made when something is written first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def marker_path(self) -> Path:
        """Where the mark of hydrate lies."""
        return self.path / "mark.json"

    @property
    def index_path(self) -> Path:
        """Where the index of what was seen lies."""
        return self.path / "index"

    @property
    def attempt_path(self) -> Path:
        """Where hydrate notes on which volume it has begun."""
        return self.path / "attempt"

    @property
    def shutdown_path(self) -> Path:
        """What `prestop` leaves for the running sync."""
        return self.path / "ending"

    def read(self, path: Path) -> bytes | None:
        """Read one of the files; None if there is none.

        Raises:
            WorkspaceError: It is there and cannot be read.
        """
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise WorkspaceError(f"cannot read the mirror's state {path}: {error}") from error

    def write(self, path: Path, *pieces: bytes | memoryview) -> None:
        """Write one of the files as a whole, durably.

        Raises:
            WorkspaceError: It cannot be written.
        """
        fresh = path.with_name(f"{path.name}.new")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.touch(mode=_PRIVATE)
            with fresh.open("wb") as out:
                out.writelines(pieces)
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(path)
        except OSError as error:
            raise WorkspaceError(f"cannot write the mirror's state {path}: {error}") from error

    def remove(self, path: Path) -> None:
        """Remove one of the files if it is there.

        Raises:
            WorkspaceError: It cannot be removed.
        """
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise WorkspaceError(f"cannot remove the mirror's state {path}: {error}") from error

    def read_cached_manifest(self, ref: ManifestRef) -> bytes | None:
        """Return a kept manifest; None if it is not there or not what its digest says."""
        data = self.read(self._manifests / ref.digest)
        if data is None or hashlib.sha256(data).hexdigest() != ref.digest:
            return None
        return data

    def cache_manifest(self, digest: str, data: bytes) -> None:
        """Keep a manifest for the next start; where that fails, it is downloaded then."""
        with suppress(WorkspaceError):
            self.write(self._manifests / digest, data)

    def prune_manifests(self, chain: Iterable[ManifestRef]) -> None:
        """Remove the kept manifests that are not in the chain, as far as they let it."""
        wanted = {ref.digest for ref in chain}
        if self._manifests.is_dir():
            for path in self._manifests.iterdir():
                if path.name not in wanted:
                    with suppress(WorkspaceError):
                        self.remove(path)

    @property
    def _manifests(self) -> Path:
        return self.path / "manifests"


_FORMAT = "reconcile-mirror-mark/1"


class VolumeId(Struct, frozen=True):
    """Which directory it is, by what the kernel calls it, so that another is not taken for it."""

    device: int
    inode: int


class HydrateMarker(Struct, frozen=True):
    """This volume was restored completely, from this generation, by this writer."""

    writer: Writer
    generation: int
    volume: VolumeId


def read_volume_id(workspace: Path) -> VolumeId:
    """Say which volume a workspace is.

    Raises:
        WorkspaceError: There is no such directory, or it cannot be read.
    """
    try:
        found = workspace.stat(follow_symlinks=False)
    except OSError as error:
        raise WorkspaceError(f"cannot read the workspace {workspace}: {error.strerror}") from error
    return VolumeId(found.st_dev, found.st_ino)


def write_hydrate_marker(state: StateDirectory, marker: HydrateMarker) -> None:
    """Leave the mark; WorkspaceError if that fails."""
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
        MarkError: It cannot be understood.
    """
    data = state.read(state.marker_path)
    if data is None:
        return None
    try:
        return _parse_marker(orjson.loads(data))
    except (ValueError, KeyError, TypeError) as error:
        raise MarkError(
            f"the mark {state.marker_path} is damaged ({error!r}): run `reconcile-mirror hydrate` again"
        ) from None


def require_hydrate_marker(state: StateDirectory, workspace: Path) -> HydrateMarker:
    """Read the mark and see that it is of this workspace.

    Raises:
        MarkError: There is none, it cannot be understood, or it is of another volume.
        WorkspaceError: The workspace or the mark cannot be read.
    """
    mark = find_hydrate_marker(state)
    if mark is None:
        raise MarkError(
            f"no mark in {state.path}: this workspace was never restored completely, so nothing "
            "of it is uploaded. Run `reconcile-mirror hydrate` first, with the same state directory"
        )
    if mark.volume != read_volume_id(workspace):
        raise MarkError(
            f"the mark in {state.path} is of another volume than {workspace}: give each workspace "
            "a state directory of its own, and run `reconcile-mirror hydrate` first"
        )
    return mark


def _parse_marker(value: Any) -> HydrateMarker:
    if value["format"] != _FORMAT:
        raise ValueError(f"unknown format {value['format']!r}")
    writer = Writer(str(value["uid"]), int(value["epoch"]), str(value["name"]))
    volume = VolumeId(int(value["device"]), int(value["inode"]))
    return HydrateMarker(writer, int(value["generation"]), volume)
