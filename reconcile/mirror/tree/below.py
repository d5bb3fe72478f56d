"""Which paths lie below others, told in one go over many of them."""

from collections.abc import Iterable


class Below:
    """Says of paths whether they are below one of `roots`.

    They must be asked for in their order, so that directories come before what is in them: then
    each costs one look, however many roots there are.
    """

    def __init__(self, roots: Iterable[str]) -> None:
        self._inside = set(roots)

    def __contains__(self, path: str) -> bool:
        if path.rpartition("/")[0] not in self._inside:
            return False
        self._inside.add(path)
        return True
