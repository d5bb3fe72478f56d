"""Brings one blob of a large file from the store to its place, a piece at a time."""

import hashlib
from typing import TYPE_CHECKING, Final

from reconcile.mirror.store.port import Room
from reconcile.mirror.workspace.writer import Spot

PIECE: Final = 512 << 10
"""Bytes that are hashed and written together, while they are still in the processor's cache."""


class Pouring:
    """Room for one blob. What is written is proven by `digest` at the end, not before."""

    def __init__(self, spot: Spot, size: int) -> None:
        self.size = size
        self._spot = spot
        self._memory = memoryview(bytearray(min(size, PIECE)))
        self.begin()

    def begin(self) -> None:
        self._at = 0
        self._hash = hashlib.sha256()

    def space(self) -> memoryview:
        return self._memory[: self.size - self._at]

    def take(self, size: int) -> None:
        piece = self._memory[:size]
        self._hash.update(piece)
        self._spot.write(piece, self._at)
        self._at += size

    def digest(self) -> str:
        """Return the SHA-256 of what has come since the last beginning."""
        return self._hash.hexdigest()


if TYPE_CHECKING:
    _conforms: type[Room] = Pouring
