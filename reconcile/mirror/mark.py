"""The mark that hydrate leaves when it is done, without which sync refuses to run."""

from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from reconcile.mirror.errors import MarkError, WorkspaceError
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Writer

_FORMAT = "reconcile-mirror-mark/1"


class Volume(Struct, frozen=True):
    """Which directory it is, by what the kernel calls it, so that another is not taken for it."""

    device: int
    inode: int


class Mark(Struct, frozen=True):
    """This volume was restored completely, from this generation, by this writer."""

    writer: Writer
    generation: int
    volume: Volume


def volume_of(workspace: Path) -> Volume:
    """Say which volume a workspace is.

    Raises:
        WorkspaceError: There is no such directory, or it cannot be read.
    """
    try:
        found = workspace.stat(follow_symlinks=False)
    except OSError as error:
        raise WorkspaceError(f"cannot read the workspace {workspace}: {error.strerror}") from error
    return Volume(found.st_dev, found.st_ino)


def write_mark(state: StateDirectory, mark: Mark) -> None:
    """Leave the mark; WorkspaceError if that fails."""
    value = {
        "format": _FORMAT,
        "uid": mark.writer.uid,
        "epoch": mark.writer.epoch,
        "name": mark.writer.name,
        "generation": mark.generation,
        "device": mark.volume.device,
        "inode": mark.volume.inode,
    }
    state.write(state.mark, orjson.dumps(value) + b"\n")


def find_mark(state: StateDirectory) -> Mark | None:
    """Read the mark; None if there is none.

    Raises:
        MarkError: It cannot be understood.
    """
    data = state.read(state.mark)
    if data is None:
        return None
    try:
        return _parse(orjson.loads(data))
    except (ValueError, KeyError, TypeError) as error:
        raise MarkError(
            f"the mark {state.mark} is damaged ({error!r}): run `reconcile-mirror hydrate` again"
        ) from None


def require_mark(state: StateDirectory, workspace: Path) -> Mark:
    """Read the mark and see that it is of this workspace.

    Raises:
        MarkError: There is none, it cannot be understood, or it is of another volume.
        WorkspaceError: The workspace or the mark cannot be read.
    """
    mark = find_mark(state)
    if mark is None:
        raise MarkError(
            f"no mark in {state.path}: this workspace was never restored completely, so nothing "
            "of it is uploaded. Run `reconcile-mirror hydrate` first, with the same state directory"
        )
    if mark.volume != volume_of(workspace):
        raise MarkError(
            f"the mark in {state.path} is of another volume than {workspace}: give each workspace "
            "a state directory of its own, and run `reconcile-mirror hydrate` first"
        )
    return mark


def _parse(value: Any) -> Mark:
    if value["format"] != _FORMAT:
        raise ValueError(f"unknown format {value['format']!r}")
    writer = Writer(str(value["uid"]), int(value["epoch"]), str(value["name"]))
    volume = Volume(int(value["device"]), int(value["inode"]))
    return Mark(writer, int(value["generation"]), volume)
