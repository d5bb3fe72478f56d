"""Repositories are found by their names; without their objects, changes of refs are held back."""

from reconcile.mirror.workspace.git import (
    find_git_directories,
    find_incomplete,
    find_paths_to_hold_back,
)

REPO = ["r/.git", "r/.git/HEAD", "r/.git/objects", "r/.git/refs", "r/.git/index", "r/file"]


def test_repositories_are_found_by_the_names_git_requires():
    bare = ["HEAD", "objects", "refs"]
    module = [f"s/.git/modules/m/{name}" for name in bare]
    other = ["x/objects", "x/refs", "y/HEAD", "y/refs"]
    assert find_git_directories([*REPO, *module, *other]) == {"r/.git", "s/.git/modules/m"}
    assert find_git_directories(frozenset(bare)) == {""}
    assert find_git_directories([]) == frozenset()


def test_changes_of_a_repository_without_its_objects_are_held_back():
    changed = [
        "r/.git/index",
        "r/.git/refs/heads/main",
        "r/.git/objects/aa/1",
        "r/.git/objects/aa/2",
    ]
    changed += ["r/file", "other/.git/index", "r/.gitignore"]
    repositories = ["r/.git", "other/.git"]
    incomplete = find_incomplete(changed, ["r/.git/objects/aa/2"], repositories)
    assert incomplete == {"r/.git"}
    back = find_paths_to_hold_back(changed, incomplete, repositories)
    assert back == {"r/.git/index", "r/.git/refs/heads/main"}


def test_a_repository_with_all_its_objects_is_complete():
    missing = ["r/file", "r/.git/logs/HEAD", "r/.git/objects"]
    assert find_incomplete(REPO, missing, ["r/.git"]) == frozenset()


def test_a_repository_that_borrows_objects_waits_for_all_others():
    paths = [*REPO, "b/.git/objects/info/alternates", "c/.git/index"]
    repositories = ["r/.git", "b/.git", "c/.git"]
    missing = ["r/.git/objects/aa/1"]
    assert find_incomplete(paths, missing, repositories) == {"r/.git", "b/.git"}
    assert find_incomplete(paths, [], repositories) == frozenset()


def test_a_bare_repository_as_the_workspace_itself_is_held_back_too():
    incomplete = find_incomplete(["HEAD"], ["objects/aa/1"], [""])
    assert find_paths_to_hold_back(["HEAD", "objects/aa/1"], incomplete, [""]) == {"HEAD"}
