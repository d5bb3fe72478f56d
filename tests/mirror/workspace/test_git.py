"""Repositories are found by their names; without their objects, changes of refs are held back."""

from reconcile.mirror.workspace.git import find_git_directories, find_paths_to_hold_back

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
    back = find_paths_to_hold_back(changed, ["r/.git/objects/aa/2"], ["r/.git", "other/.git"])
    assert back == {"r/.git/index", "r/.git/refs/heads/main"}


def test_changes_of_a_complete_repository_are_not_held_back():
    assert (
        find_paths_to_hold_back(["r/.git/index"], ["r/file", "r/.git/logs/HEAD"], ["r/.git"])
        == frozenset()
    )


def test_a_bare_repository_as_the_workspace_itself_is_held_back_too():
    assert find_paths_to_hold_back(["HEAD", "objects/aa/1"], ["objects/aa/1"], [""]) == {"HEAD"}
