"""Git repositories in a workspace: a snapshot must have every object that their refs name.

Git writes objects before refs, and it packs refs before it removes loose ones. A reader must use
the opposite order: refs and index, then `packed-refs`, and objects last. This also holds across
repositories, because one may borrow objects of another.

Where an object is missing all the same, the repository keeps its last state: what refs name, and
also what has been deleted since then. `git gc` replaces all loose objects by one large pack.
"""

from collections.abc import Collection, Iterator, Set

REQUIRED_NAMES = frozenset({"HEAD", "objects", "refs"})
"""What git looks for in a git directory: `.git`, a bare repository, or that of a submodule."""

PACKED_REFS = "packed-refs"
OBJECTS = "objects"

_ALTERNATES = "objects/info/alternates"
"""Names other repositories whose objects this one uses."""


def is_git_directory(names: Set[str]) -> bool:
    """Whether a directory with these names is a git directory."""
    return names >= REQUIRED_NAMES


def find_git_directories(paths: Collection[str]) -> frozenset[str]:
    """Return the git directories among `paths`."""
    existing = paths if isinstance(paths, Set) else frozenset(paths)
    directories = set()
    for path in existing:
        parent, _, name = path.rpartition("/")
        if name == OBJECTS and all(_join(parent, each) in existing for each in REQUIRED_NAMES):
            directories.add(parent)
    return frozenset(directories)


def find_incomplete(
    paths: Collection[str], missing: Collection[str], repositories: Collection[str]
) -> frozenset[str]:
    """Return the repositories that lack objects, or that may borrow objects of such a one.

    Args:
        paths: All paths of the workspace.
        missing: Those whose bytes could not be read.
        repositories: The result of `find_git_directories`.
    """
    known = frozenset(repositories)
    incomplete = {
        repository
        for path in missing
        for repository, is_object in _enclosing_repositories(path, known)
        if is_object
    }
    if not incomplete:
        return frozenset()
    existing = paths if isinstance(paths, Set) else frozenset(paths)
    return known & incomplete | {each for each in known if _join(each, _ALTERNATES) in existing}


def find_paths_to_hold_back(
    changed: Collection[str], incomplete: Set[str], repositories: Collection[str]
) -> frozenset[str]:
    """Return the changed paths that must keep their last version, since objects are missing.

    Args:
        changed: Paths that differ from the last generation.
        incomplete: The result of `find_incomplete`.
        repositories: The result of `find_git_directories`.

    Returns:
        Every changed path in a repository that lacks objects, except its objects.
    """
    known = frozenset(repositories)
    return frozenset(
        path
        for path in changed
        if any(
            repository in incomplete and not is_object
            for repository, is_object in _enclosing_repositories(path, known)
        )
    )


def find_object_directories(repositories: Collection[str]) -> frozenset[str]:
    """Return the paths of the directories of their objects."""
    return frozenset(_join(repository, OBJECTS) for repository in repositories)


def _enclosing_repositories(path: str, repositories: Set[str]) -> Iterator[tuple[str, bool]]:
    """Yield the repositories that contain a path, each with whether the path is its object."""
    parent, _, name = path.rpartition("/")
    while True:
        if parent in repositories:
            yield parent, name == OBJECTS and path != _join(parent, OBJECTS)
        if not parent:
            return
        parent, _, name = parent.rpartition("/")


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name
