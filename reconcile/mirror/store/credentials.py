"""Keys that never change, as values."""

from dataclasses import dataclass

from reconcile.mirror.store.location import Keys


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """The same keys for ever."""

    held: Keys

    def keys(self) -> Keys:
        return self.held

    def renewed(self, refused: Keys) -> Keys:  # noqa: ARG002 - there is nothing newer
        return self.held
