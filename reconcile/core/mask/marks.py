"""What stands in a secret's place: a numbered mark in angle quotes, one number for one value."""

import re
from typing import Final

_OPENING: Final = "\u2039masked #"
_CLOSING: Final = "\u203a"
_MARK: Final = re.compile(f"{_OPENING}[0-9]+{_CLOSING}")


def mark(number: int) -> str:
    """Word the mark of the value with this number."""
    return f"{_OPENING}{number}{_CLOSING}"


def is_mark(text: str) -> bool:
    """Tell whether `text` is one mark and nothing else."""
    return _MARK.fullmatch(text) is not None


def mark_spans(text: str) -> list[tuple[int, int]]:
    """Find the marks in `text`, as pairs of start and end."""
    return [match.span() for match in _MARK.finditer(text)]
