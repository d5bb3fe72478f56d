"""Repositories are told by what is in them; without their objects, their refs stay as they were."""

from reconcile.mirror.workspace.git import find_git_directories, find_paths_to_hold_back

REPO = ["r/.git", "r/.git/HEAD", "r/.git/objects", "r/.git/refs", "r/.git/index", "r/file"]


def test_repositories_are_told_by_what_git_looks_for():
    bare = ["HEAD", "objects", "refs"]
    module = [f"s/.git/modules/m/{name}" for name in bare]
    other = ["x/objects", "x/refs", "y/HEAD", "y/refs"]
    assert find_git_directories([*REPO, *module, *other]) == {"r/.git", "s/.git/modules/m"}
    assert find_git_directories(frozenset(bare)) == {""}
    assert find_git_directories([]) == frozenset()


def test_without_its_objects_a_repository_stays_as_it_was():
    changed = [
        "r/.git/index",
        "r/.git/refs/heads/main",
        "r/.git/objects/aa/1",
        "r/.git/objects/aa/2",
    ]
    changed += ["r/file", "other/.git/index", "r/.gitignore"]
    back = find_paths_to_hold_back(changed, ["r/.git/objects/aa/2"], ["r/.git", "other/.git"])
    assert back == {"r/.git/index", "r/.git/refs/heads/main"}


def test_with_all_its_objects_it_goes_on():
    assert (
        find_paths_to_hold_back(["r/.git/index"], ["r/file", "r/.git/logs/HEAD"], ["r/.git"])
        == frozenset()
    )


def test_a_bare_repository_as_the_workspace_itself_is_held_back_too():
    assert find_paths_to_hold_back(["HEAD", "objects/aa/1"], ["objects/aa/1"], [""]) == {"HEAD"}
