"""Removes a whole directory however deep it is, without following a link."""

import os
import stat

from reconcile.mirror.workspace.dirfd import Directories


def remove(directories: Directories, path: str) -> None:
    """Remove what is at `path`, whatever it is; nothing there is as good as removed."""
    parent, name = directories.parent(path)
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        os.unlink(name, dir_fd=parent)
        return
    for folder in reversed(_emptied(directories, path)):
        parent, name = directories.parent(folder)
        os.rmdir(name, dir_fd=parent)
    directories.forget()


def _emptied(directories: Directories, path: str) -> list[str]:
    """Remove all but the directories, and return these, parents first."""
    folders = [path]
    for folder in folders:
        open_up(directories, folder)
        descriptor = directories.open(folder)
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{folder}/{entry.name}")
                else:
                    os.unlink(entry.name, dir_fd=descriptor)
    return folders


def open_up(directories: Directories, path: str) -> None:
    """Let the owner of a directory list and change it, whatever its mode was."""
    parent, name = directories.parent(path)
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.chmod(name, 0o700, dir_fd=parent)
