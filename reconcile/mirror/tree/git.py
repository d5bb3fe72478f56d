"""What a snapshot of a git repository needs so that whatever its refs name is there.

Git writes objects first and refs after, and it packs refs before it removes the loose ones. A
reader must go the other way: refs and index, then `packed-refs`, and the objects last. This holds
across repositories too, since one may borrow another's objects.
"""

from collections.abc import Collection, Set

REQUIRED = frozenset({"HEAD", "objects", "refs"})
"""What git itself looks for in a repository's directory: `.git`, a bare one, a submodule's."""

PACKED_REFS = "packed-refs"
OBJECTS = "objects"


def is_git_directory(names: Set[str]) -> bool:
    """Tell from the names in a directory whether it is a repository's own."""
    return names >= REQUIRED


def git_directories(paths: Collection[str]) -> frozenset[str]:
    """Return the directories among `paths` that are a repository's own."""
    known = paths if isinstance(paths, Set) else frozenset(paths)
    found = set()
    for path in known:
        above, _, name = path.rpartition("/")
        if name == OBJECTS and all(_join(above, required) in known for required in REQUIRED):
            found.add(above)
    return frozenset(found)


def held_back(
    changed: Collection[str], missing: Collection[str], repositories: Collection[str]
) -> frozenset[str]:
    """Return what must stay as it was, since objects that it may name could not be taken.

    Args:
        changed: paths that differ from the last generation.
        missing: those of them whose bytes could not be taken.
        repositories: what `git_directories` found.

    Returns:
        every changed path in a repository that lacks objects, but for the objects themselves.
    """
    lacking = [
        repository
        for repository in repositories
        if any(path.startswith(_join(repository, f"{OBJECTS}/")) for path in missing)
    ]
    return frozenset(
        path for path in changed if any(_names_objects(path, repository) for repository in lacking)
    )


def _names_objects(path: str, repository: str) -> bool:
    inside = _join(repository, "")
    return path.startswith(inside) and not path.startswith(_join(repository, f"{OBJECTS}/"))


def _join(above: str, name: str) -> str:
    return f"{above}/{name}" if above else name
