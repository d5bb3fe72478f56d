"""Which names of a walk are names of the same file."""

import stat
from collections.abc import Iterable

from reconcile.mirror.tree.seen import Seen


def hard_links(seen: Iterable[Seen]) -> dict[str, str]:
    """Map each further name of a file to its first one in the order of `seen`.

    Names outside of the workspace do not count: a file whose other names are elsewhere is a file.
    Symbolic links with several names are links of their own.
    """
    first: dict[tuple[int, int], str] = {}
    found = {}
    for entry in seen:
        if entry.links > 1 and stat.S_ISREG(entry.mode):
            name = first.setdefault((entry.device, entry.inode), entry.path)
            if name != entry.path:
                found[entry.path] = name
    return found
