"""Single steps of a restore, each by the descriptor of a directory."""

import os

from reconcile.mirror.model import Directory, Entry, File, HardLink, Symlink
from reconcile.mirror.tree.holes import hole
from reconcile.mirror.workspace.dirfd import Directories

_FIRST = 512


def write(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data`."""
    written = os.pwrite(descriptor, data, offset)
    while written < len(data):
        written += os.pwrite(descriptor, memoryview(data)[written:], offset + written)


def is_hole(data: bytes | memoryview) -> bool:
    """Tell whether these are only zeros, which need no room on the disk."""
    if data is hole():
        return True
    # Nearly all other data says so by its first bytes.
    return not bytes(data[:_FIRST]).strip(b"\0") and not bytes(data).strip(b"\0")


def dress(descriptor: int, entry: File | Directory) -> None:
    """Set mode and time; the mode first, since it may be refused."""
    os.fchmod(descriptor, entry.mode)
    os.utime(descriptor, ns=(entry.mtime, entry.mtime))


def dress_file(visible: Directories, file: File) -> None:
    """Do the same by name, for a file that its own mode may not let us open."""
    parent, name = visible.parent(file.path)
    os.chmod(name, file.mode, dir_fd=parent)
    os.utime(name, ns=(file.mtime, file.mtime), dir_fd=parent, follow_symlinks=False)


def dress_last(visible: Directories, entry: Entry) -> None:
    """Set what making other entries would have spoilt."""
    match entry:
        case Directory():
            dress(visible.open(entry.path), entry)
        case Symlink():
            parent, name = visible.parent(entry.path)
            times = (entry.mtime, entry.mtime)
            os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)
        case _:
            pass


def link(visible: Directories, entry: Entry) -> None:
    """Make a symbolic or hard link; nothing for other entries."""
    match entry:
        case Symlink():
            parent, name = visible.parent(entry.path)
            os.symlink(entry.target, name, dir_fd=parent)
        case HardLink():
            _link_hard(visible, entry)
        case _:
            pass


def _link_hard(visible: Directories, entry: HardLink) -> None:
    above, old = visible.parent(entry.target)
    source = os.dup(above)
    try:
        parent, name = visible.parent(entry.path)
        os.link(old, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(source)
