"""What a volume's refusal means to people."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconcile.mirror.errors import WorkspaceError

_RIGHTS = "the mirror may not write there: it must run as the runner's user, on a volume of theirs"
_ADVICE = {
    errno.ENOSPC: "the volume is full: make it larger",
    errno.EDQUOT: "the volume's quota is used up: raise it",
    errno.EFBIG: "the file is larger than the volume or a limit allows",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "the volume is read-only: mount it writable",
    errno.ENOENT: "there is no such folder: mount the volume there",
    errno.ENAMETOOLONG: "the volume's file system takes no name as long as this",
    errno.EILSEQ: "the volume's file system does not take this name",
    errno.EIO: "the disk fails",
}


@contextmanager
def worded(root: Path, path: str) -> Iterator[None]:
    """Turn an OSError at `path` below `root` into a WorkspaceError that says what to do."""
    try:
        yield
    except OSError as error:
        raise refusal(root, path, error) from error


def refusal(root: Path, path: str, error: OSError) -> WorkspaceError:
    """Say what an OSError at `path` below `root` means, and what to do."""
    advice = _ADVICE.get(error.errno or 0, error.strerror)
    what = f"{root}: {path!r}" if path else str(root)
    return WorkspaceError(f"{what} cannot be restored: {advice}")
