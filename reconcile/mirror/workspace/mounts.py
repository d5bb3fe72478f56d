"""Mount points below a directory: what is mounted there belongs to another volume.

The device number alone does not show it: two volumes may be directories of the same file system,
as those of the kind `emptyDir` are.
"""

import os
import re
from pathlib import Path
from typing import Final

_TABLE: Final = Path("/proc/self/mountinfo")
_POINT: Final = 4
"""The column with the path of the mount point."""
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


def find_mount_points(root: int) -> frozenset[str]:
    """Return the paths of mount points below an open directory; empty where the kernel has none."""
    try:
        prefix = f"{Path(f'/proc/self/fd/{root}').readlink()}".rstrip("/") + "/"
        table = os.fsdecode(_TABLE.read_bytes())
    except OSError:
        return frozenset()
    return parse_mount_points(table, prefix)


def parse_mount_points(table: str, prefix: str) -> frozenset[str]:
    """Return the paths below `prefix`, relative to it, from the text of `/proc/self/mountinfo`."""
    points = (line.split(" ")[_POINT] for line in table.split("\n") if line)
    paths = (_ESCAPE.sub(lambda found: chr(int(found[1], 8)), point) for point in points)
    return frozenset(path.removeprefix(prefix) for path in paths if path.startswith(prefix))
