"""What of a tree lies at a path and below it."""

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.model import Entry, Tree
from reconcile.mirror.snapshot.encoding import encode_text


def below(tree: Tree, path: str) -> list[Entry]:
    """Return the entries at a path and below, all for an empty one.

    Raises:
        SettingsError: There is nothing at this path.
    """
    wanted = "/".join(part for part in path.split("/") if part not in {"", "."})
    if not wanted:
        return list(tree.entries.values())
    if wanted not in tree.entries:
        raise SettingsError(f"there is no {encode_text(wanted)!r} in this generation")
    return [
        entry
        for name, entry in tree.entries.items()
        if name == wanted or name.startswith(f"{wanted}/")
    ]
