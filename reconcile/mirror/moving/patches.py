"""A patch in parts, so that what does not fit holds nothing else up. Pure."""

import re
from itertools import pairwise
from typing import Final

_START: Final = re.compile(rb"^diff --git ", re.MULTILINE)
BINARY: Final = re.compile(rb"^Binary files .* differ$", re.MULTILINE)


def split(patch: bytes) -> list[bytes]:
    """Return the parts of a patch of git, one for each file.

    Lines of content begin with a blank, `+`, `-` or a backslash, so no content looks like a start.
    What stands before the first start is a part of its own, unless it is blank.
    """
    starts = [found.start() for found in _START.finditer(patch)]
    bounds = [0, *starts, len(patch)]
    parts = [patch[start:end] for start, end in pairwise(bounds)]
    return [part for part in parts if part.strip()]


def is_binary(part: bytes) -> bool:
    """Tell whether a part only says that a binary file differs, without its bytes."""
    return BINARY.search(part) is not None
