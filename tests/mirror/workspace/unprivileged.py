"""Runs a check as a user without rights, since a test may run as root, who may read all."""

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
    """Make a folder in which every user may work; pytest's own are for one user only."""
    folder = Path(tempfile.mkdtemp(prefix="mirror-nobody-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        with DirectoryHandles(folder.parent) as directories:
            remove_tree(directories, folder.name)


def as_nobody(check: Callable[[], None], who: int = NOBODY) -> None:
    """Call `check` in a process of a user without rights; AssertionError shows how it failed.

    `who` may be another user.
    """
    compile_patterns(["loaded before the rights to read the library go"])
    source, sink = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child starts no threads
        child = os.fork()
    if not child:
        os._exit(_child(check, sink, who))
    os.close(sink)
    with os.fdopen(source) as told:
        text = told.read()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, text


def _child(check: Callable[[], None], sink: int, who: int) -> int:
    try:
        if os.getuid() == 0 and who:
            os.setgroups([])
            os.setgid(who)
            os.setuid(who)
        check()
    except BaseException:  # noqa: BLE001 - told to the parent
        os.write(sink, traceback.format_exc().encode())
        return 1
    return 0
