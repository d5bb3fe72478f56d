"""The directory of a workspace, opened again and again, and never mistaken for another one."""

import os
from pathlib import Path

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import Excludes
from reconcile.mirror.workspace.walk import unreadable_root_error


class WorkspaceRoot:
    """A workspace as hydrate has restored it, on its volume.

    A volume that was unmounted leaves an empty directory, and another one may be mounted there.
    Neither is the workspace. A file system of the same kind may have the same device and inode
    numbers, but not the same id.

    Args:
        path: The directory.
        excludes: What is left out.
        volume: The directory's device and inode.
    """

    def __init__(self, path: Path, excludes: Excludes, volume: tuple[int, int]) -> None:
        self._path = path
        self._volume = volume
        self._file_system: int | None = None
        self.excludes = excludes

    def open(self) -> DirectoryHandles:
        """Open the directory.

        Raises:
            WorkspaceError: It cannot be read, or is of another volume.
        """
        try:
            directories = DirectoryHandles(self._path)
        except OSError as error:
            raise unreadable_root_error(error) from error
        try:
            self._check_volume(directories.root)
        except BaseException:
            directories.close()
            raise
        return directories

    def is_excluded(self, path: str) -> bool:
        """Whether a file in a directory that is not excluded is excluded."""
        return self.excludes.is_excluded(path, path.rpartition("/")[2], directory=False)

    def _check_volume(self, descriptor: int) -> None:
        try:
            status, file_system = os.fstat(descriptor), os.fstatvfs(descriptor).f_fsid
        except OSError as error:
            raise unreadable_root_error(error) from error
        if self._file_system is None:
            self._file_system = file_system
        found = (status.st_dev, status.st_ino)
        if found != self._volume or file_system != self._file_system:
            raise WorkspaceError(
                f"another volume is mounted at {self._path}, or the volume of the workspace is no "
                "longer mounted: nothing of it is stored. Mount the volume again, or start the pod "
                "again"
            )
