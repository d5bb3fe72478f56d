"""What one tree has that another has not."""

from msgspec import Struct

from reconcile.mirror.model import Entry, Tree


class Differences(Struct, frozen=True):
    """What leads from one tree to another, each in the order of paths."""

    added: tuple[Entry, ...]
    changed: tuple[Entry, ...]
    gone: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.added or self.changed or self.gone)


def compare(before: Tree, after: Tree) -> Differences:
    """Return what leads from `before` to `after`; entries that both share cost next to nothing."""
    old, new = before.entries, after.entries
    added: list[Entry] = []
    changed: list[Entry] = []
    for path, entry in new.items():
        was = old.get(path)
        if was is entry:
            continue
        if was is None:
            added.append(entry)
        elif was != entry:
            changed.append(entry)
    gone = tuple(path for path in old if path not in new)
    return Differences(tuple(added), tuple(changed), gone)
