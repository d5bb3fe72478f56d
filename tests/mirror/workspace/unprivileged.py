"""Runs a check as an unprivileged user: tests may run as root, which may read everything."""

import os
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reconcile.mirror.workspace.dirfd import DirectoryHandles
from reconcile.mirror.workspace.excludes import compile_patterns
from reconcile.mirror.workspace.writer import remove_tree

NOBODY = 65534


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a directory that every user may write; those of pytest are for one user only."""
    folder = Path(tempfile.mkdtemp(prefix="mirror-nobody-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        with DirectoryHandles(folder.parent) as directories:
            remove_tree(directories, folder.name)


def as_nobody(check: Callable[[], None], who: int = NOBODY) -> None:
    """Call `check` in a process of an unprivileged user; AssertionError shows how it failed."""
    compile_patterns(["loaded before the rights to read the library go"])
    source, sink = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child starts no threads
        child = os.fork()
    if not child:
        os._exit(_child(check, sink, who))
    os.close(sink)
    with os.fdopen(source) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, text


def _child(check: Callable[[], None], sink: int, who: int) -> int:
    try:
        if os.getuid() == 0 and who:
            os.setgroups([])
            os.setgid(who)
            os.setuid(who)
        check()
    except BaseException:  # noqa: BLE001 - reported to the parent
        os.write(sink, traceback.format_exc().encode())
        return 1
    return 0
