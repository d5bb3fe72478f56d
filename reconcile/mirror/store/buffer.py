"""Room for a whole object in memory."""

from typing import TYPE_CHECKING

from reconcile.mirror.store.port import Room


class Buffer:
    """Memory that an object is read into from its beginning; what it held is lost."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._at = 0

    def begin(self) -> None:
        self._at = 0

    def space(self) -> memoryview:
        return self._memory[self._at :]

    def take(self, size: int) -> None:
        self._at += size


if TYPE_CHECKING:
    _conforms: type[Room] = Buffer
