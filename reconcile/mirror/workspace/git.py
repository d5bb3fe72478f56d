"""Git repositories in a workspace: a snapshot must have every object that their refs name.

Git writes objects before refs, and it packs refs before it removes loose ones. A reader must use
the opposite order: refs and index, then `packed-refs`, and objects last. This also holds across
repositories, because one may borrow objects of another.
"""

from collections.abc import Collection, Iterator, Set

REQUIRED_NAMES = frozenset({"HEAD", "objects", "refs"})
"""What git looks for in a git directory: `.git`, a bare repository, or that of a submodule."""

PACKED_REFS = "packed-refs"
OBJECTS = "objects"


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


def find_paths_to_hold_back(
    changed: Collection[str], missing: Collection[str], repositories: Collection[str]
) -> frozenset[str]:
    """Return the changed paths that must keep their last version, since objects are missing.

    Args:
        changed: Paths that differ from the last generation.
        missing: Those of them whose bytes could not be read.
        repositories: The result of `find_git_directories`.

    Returns:
        Every changed path in a repository that lacks objects, except its objects.
    """
    repository_set = frozenset(repositories)
    incomplete = {
        repository
        for path in missing
        for repository, is_object in _enclosing_repositories(path, repository_set)
        if is_object
    }
    return frozenset(
        path
        for path in changed
        if any(
            repository in incomplete and not is_object
            for repository, is_object in _enclosing_repositories(path, repository_set)
        )
    )


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
