"""What a snapshot of a git repository needs so that whatever its refs name is there.

Git writes objects first and refs after, and it packs refs before it removes the loose ones. A
reader must go the other way: refs and index, then `packed-refs`, and the objects last. This holds
across repositories too, since one may borrow another's objects.
"""

from collections.abc import Collection, Iterator, Set

REQUIRED_NAMES = frozenset({"HEAD", "objects", "refs"})
"""What git itself looks for in a repository's directory: `.git`, a bare one, a submodule's."""

PACKED_REFS = "packed-refs"
OBJECTS = "objects"


def is_git_directory(names: Set[str]) -> bool:
    """Tell from the names in a directory whether it is a repository's own."""
    return names >= REQUIRED_NAMES


def find_git_directories(paths: Collection[str]) -> frozenset[str]:
    """Return the directories among `paths` that are a repository's own."""
    known = paths if isinstance(paths, Set) else frozenset(paths)
    found = set()
    for path in known:
        above, _, name = path.rpartition("/")
        if name == OBJECTS and all(_join(above, required) in known for required in REQUIRED_NAMES):
            found.add(above)
    return frozenset(found)


def find_paths_to_hold_back(
    changed: Collection[str], missing: Collection[str], repositories: Collection[str]
) -> frozenset[str]:
    """Return what must stay as it was, since objects that it may name could not be taken.

    Args:
        changed: paths that differ from the last generation.
        missing: those of them whose bytes could not be taken.
        repositories: what `find_git_directories` found.

    Returns:
        every changed path in a repository that lacks objects, but for the objects themselves.
    """
    known = frozenset(repositories)
    lacking = {
        above for path in missing for above, inner in _enclosing_repositories(path, known) if inner
    }
    return frozenset(
        path
        for path in changed
        if any(
            above in lacking and not inner for above, inner in _enclosing_repositories(path, known)
        )
    )


def _enclosing_repositories(path: str, repositories: Set[str]) -> Iterator[tuple[str, bool]]:
    """Give the repositories that a path is in, each with whether it is one of its objects."""
    above, _, name = path.rpartition("/")
    while True:
        if above in repositories:
            yield above, name == OBJECTS and path != _join(above, OBJECTS)
        if not above:
            return
        above, _, name = above.rpartition("/")


def _join(above: str, name: str) -> str:
    return f"{above}/{name}" if above else name
